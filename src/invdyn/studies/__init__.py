"""Studies: the systems of the literature, each re-tested by one command.

| file | what |
|---|---|
| `systems.py` | `SYSTEMS`: all 58 systems with family, title, source and claim, in one literal table |
| `registry.py` | `STUDIES`: which of them are built |
| `study.py` | `Study`: experiment, controls, claims; `Context`: device, data, parts that survive a kill |
| `part.py` | `Part`, `generators`, `run_parts`, `run_jobs`: experiments, their random streams, resumable |
| `nets.py` | `fit_net`: the nets of the diffusion studies, all trained alike |
| `renders.py` | frames of our own world with their states, for the diffusion studies; their Gaussian, their U-Net |
| `renders_judge.py` | `Judge`: the Fréchet distance of frames in features of a net trained here |
| `renders_figure.py` | a sheet of frames |
| `claim.py` | `Claim`: a statement with its threshold; `Verdict`: what came out |
| `run.py` | `run_study`: runs, judges, writes results/<slug>/<scale>.json and .svg |
| `provenance.py` | commit, versions, host, peak memory |
| `table.py` | `studies_table`: one row per system; `page.py` writes it as docs/studies/index.md |
| `drawing.py` | figures without global state |
| `walkers.py` | recordings of Hopper, HalfCheetah and Walker2d, models of them, true scores: for `ravl` and `morec` |
| `deep_linear.py` | Saxe, McClelland, Ganguli, ICLR 2014; the claims and experiments beside it |
| `grokking_li2.py` | Tian 2025; the claims and experiments beside it |
| `nesterov_dynamics.py` | Parimi et al. 2025; the claims and experiments beside it |
| `diffusion_principles.py` | Lai et al. 2025; the claims and experiments beside it |
| `rti_dp.py` | Duan, Yin, Kragic 2025; the claims and experiments beside it |
| `diffusion_painters.py` | Wang, Vastola, TMLR; the claims and experiments beside it |
| `red_diff.py` | Mardani et al., ICLR 2024; the claims and experiments beside it |
| `sb_irr.py` | Shen, Berlinghieri, Broderick, AISTATS 2025; the claims and experiments beside it |
| `ravl.py` | Sims et al., NeurIPS 2024; the claims and experiments beside it |
| `morec.py` | Luo et al., ICLR 2024; the claims and experiments beside it |
| `dynlin_ucb.py` | Mussi et al., ICML 2023; the claims and experiments beside it |
| `irl_misspec.py` | rewards from wrong models; the claims and experiments beside it |
"""

from invdyn.studies.claim import Claim, Threshold, Verdict
from invdyn.studies.registry import STUDIES, load_study
from invdyn.studies.run import StudyResult, parse_seeds, run_study
from invdyn.studies.study import SCALES, Context, Outcome, Study
from invdyn.studies.systems import SYSTEMS, SystemEntry
from invdyn.studies.table import results_folder, studies_page, studies_table

__all__ = [
    "SCALES",
    "STUDIES",
    "SYSTEMS",
    "Claim",
    "Context",
    "Outcome",
    "Study",
    "StudyResult",
    "SystemEntry",
    "Threshold",
    "Verdict",
    "load_study",
    "parse_seeds",
    "results_folder",
    "run_study",
    "studies_page",
    "studies_table",
]
