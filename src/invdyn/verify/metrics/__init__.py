"""Every metric of the project, each defined once; arrays or tensors in, float64 out.

| file | metrics | what |
|---|---|---|
| regression.py | `r2`, `fvu`, `mae`, `rmse` | explained variance and errors per dimension |
| classification.py | `accuracy`, `auc` | top-1 over all or masked frames; ranking of positives, ties one half |
| calibration.py | `coverage`, `sharpness`, `nll` | intervals with the episode as unit of resampling; likelihood |
| outcome.py | `success_rate`, `normalized_return` | Wilson (1927) interval; 0 = random, 100 = expert |
| rank.py | `spearman`, `kendall` | rank agreement, ties averaged; tau-b |
| regret.py | `regret` | expected return given away, or its share of what was at stake |
| wasserstein.py | `w2_exact`, `emd`, `sliced_w2`, `w1_marginal`, `frechet_distance` | transport distances of two sets |
| pictures.py | `psnr`, `ssim` | likeness of pictures, range of the data stated |
| starc.py | `starc`, `epic`, `feature_starc`, `RewardSpace` | rewards compared up to shaping, redistribution, scale |
"""

from invdyn.verify.metrics.calibration import Coverage, coverage, nll, sharpness
from invdyn.verify.metrics.classification import accuracy, auc
from invdyn.verify.metrics.outcome import Rate, normalized_return, success_rate
from invdyn.verify.metrics.pictures import psnr, ssim
from invdyn.verify.metrics.rank import kendall, spearman
from invdyn.verify.metrics.regression import fvu, mae, r2, rmse
from invdyn.verify.metrics.regret import regret
from invdyn.verify.metrics.starc import RewardSpace, epic, feature_starc, starc
from invdyn.verify.metrics.wasserstein import emd, frechet_distance, sliced_w2, w1_marginal, w2_exact

__all__ = [
    "Coverage",
    "Rate",
    "RewardSpace",
    "accuracy",
    "auc",
    "coverage",
    "emd",
    "epic",
    "feature_starc",
    "frechet_distance",
    "fvu",
    "kendall",
    "mae",
    "nll",
    "normalized_return",
    "psnr",
    "r2",
    "regret",
    "rmse",
    "sharpness",
    "sliced_w2",
    "spearman",
    "ssim",
    "starc",
    "success_rate",
    "w1_marginal",
    "w2_exact",
]
