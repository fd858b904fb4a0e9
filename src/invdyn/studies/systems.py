"""SYSTEMS: the 58 systems of the literature that invdyn re-tests, in one literal table.

Whether a system is built stands in registry.STUDIES, how far it is verified in results/; nothing here says so twice.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SYSTEMS", "SystemEntry"]


@dataclass(frozen=True)
class SystemEntry:
    """One system: the method of one paper."""

    family: str
    """The method room it belongs to."""
    title: str
    """Its short name."""
    source: str
    """Authors, venue, year, arXiv id."""
    claim: str
    """What the paper claims, in a line."""


SYSTEMS: dict[str, SystemEntry] = {
    "dynamo": SystemEntry(
        "actions",
        "DynaMo",
        "Cui et al., NeurIPS 2024, arXiv 2409.12192",
        "encoder, latent inverse and forward dynamics trained together on action-free demonstrations give better "
        "policy features than other self-supervision",
    ),
    "idp": SystemEntry(
        "actions",
        "IDP",
        "Brandfonbrener et al., NeurIPS 2023, arXiv 2305.16985",
        "pretraining an encoder to predict the action between observations beats cloning and forward prediction "
        "for multitask imitation",
    ),
    "oodil": SystemEntry(
        "actions",
        "OOD-IL",
        "Qiu et al., CoRL 2022, arXiv 2211.06839",
        "weighting demonstrations by how far the imitator can reproduce them makes imitation from other dynamics "
        "and several modes work",
    ),
    "ssorl": SystemEntry(
        "actions",
        "SS-ORL",
        "Zheng et al., ICML 2023, arXiv 2210.06518",
        "with 10 % of trajectories labelled, actions filled in by an inverse model match offline RL on fully "
        "labelled data",
    ),
    "uishift": SystemEntry(
        "actions",
        "UIShift",
        "Gao et al., ICLR 2026, arXiv 2505.12493",
        "asking which first action leads from one screen to a later one, with rule rewards, improves GUI agents "
        "without annotators",
    ),
    "vidar": SystemEntry(
        "actions",
        "Vidar",
        "Feng et al., 2025, arXiv 2507.12898",
        "a video model imagines the task; a masked inverse model trained on 20 minutes of robot data turns the "
        "frames into joint commands",
    ),
    "vpt": SystemEntry(
        "actions",
        "VPT",
        "Baker et al., NeurIPS 2022, arXiv 2206.11795",
        "a non-causal inverse model trained on little labelled play labels video well enough for cloning to give "
        "a prior that RL can fine-tune",
    ),
    "watch-and-learn": SystemEntry(
        "actions",
        "Watch & Learn",
        "Song et al., CVPR 2026, arXiv 2510.04673",
        "predicting the action between two screens turns web tutorials into trajectories that help computer-use agents",
    ),
    "dexndm": SystemEntry(
        "forces",
        "DexNDM",
        "Liu, Wang, Yi, ICLR 2026, arXiv 2510.08556",
        "predicting each joint from its own history needs little data, transfers across contacts and carries in- "
        "hand rotation to the real hand",
    ),
    "ema": SystemEntry(
        "forces",
        "EMA",
        "2023, arXiv 2303.12965",
        "mesh, material, light and skinning of a moving body are recovered jointly from video by rasterised "
        "inverse rendering",
    ),
    "homie": SystemEntry(
        "forces",
        "HOMIE",
        "RSS 2025, arXiv 2502.13013",
        "a leg policy that tolerates any arm motion lets one operator drive a whole humanoid from an exoskeleton "
        "cockpit",
    ),
    "ild": SystemEntry(
        "forces",
        "ILD",
        "CVPR 2023, arXiv 2206.04873",
        "back-propagating a Chamfer-type state loss through a differentiable simulator imitates from one "
        "demonstration without a discriminator",
    ),
    "imdy": SystemEntry(
        "forces",
        "ImDy",
        "ICLR 2025, arXiv 2410.17610",
        "torque labels from motion-tracking policies train a small transformer from markers to torques and "
        "contacts that transfers to laboratory data",
    ),
    "realtime-ik": SystemEntry(
        "forces",
        "Real-time IK",
        "2025, arXiv 2507.00792",
        "one compiled objective with hard joint bounds solves multi-constraint IK as fast as chain solvers and "
        "more often",
    ),
    "visual-irl": SystemEntry(
        "forces",
        "Visual IRL",
        "Asali, Doshi, 2024, arXiv 2412.11360",
        "adversarial IRL on keypoints with a joint map from human to robot arm gives human-like motion that still "
        "arrives",
    ),
    "yoto": SystemEntry(
        "forces",
        "YOTO",
        "RSS 2025, arXiv 2501.14208",
        "key poses from one stereo video, replayed and transformed, suffice to train a bimanual diffusion policy "
        "that generalises",
    ),
    "dreamvla": SystemEntry(
        "foresight",
        "DreamVLA",
        "NeurIPS 2025, arXiv 2507.04447",
        "forecasting moving regions, depth and semantics in separate queries serves action better than "
        "forecasting whole frames",
    ),
    "f1": SystemEntry(
        "foresight",
        "F1",
        "2025, arXiv 2509.06951",
        "generating a coarse future frame first and acting towards it helps most in dynamic and long tasks",
    ),
    "fsdrive": SystemEntry(
        "foresight",
        "FSDrive",
        "NeurIPS 2025, arXiv 2505.17685",
        "an imagined future camera frame as chain of thought plans with fewer collisions than text or none",
    ),
    "interdyn": SystemEntry(
        "foresight",
        "InterDyn",
        "CVPR 2025, arXiv 2412.11785",
        "a frozen video model with a control branch infers how everything else moves from the motion of one driver",
    ),
    "mewm": SystemEntry(
        "foresight",
        "MeWM",
        "ICCV 2025, arXiv 2506.02327",
        "generating the post-treatment scan for each candidate, then scoring and searching, improves the choice "
        "of treatment",
    ),
    "seer": SystemEntry(
        "foresight",
        "Seer",
        "ICLR 2025, arXiv 2412.15109",
        "reading the action out of a predicted future frame beats foresight as a mere auxiliary loss, and both "
        "beat cloning",
    ),
    "uva": SystemEntry(
        "foresight",
        "UVA",
        "RSS 2025, arXiv 2503.00200",
        "one joint video-action latent with two decoding heads is policy, video, forward and inverse model by "
        "input masks",
    ),
    "uwm": SystemEntry(
        "foresight",
        "UWM",
        "RSS 2025, arXiv 2504.02792",
        "independent diffusion times for actions and frames make one network all four models and let action-free "
        "video train it",
    ),
    "wow": SystemEntry(
        "foresight",
        "WoW",
        "2025, arXiv 2509.22642",
        "imagine, criticise, refine; then an inverse model that looks at motion, not appearance, turns the "
        "accepted video into actions",
    ),
    "diffusion-painters": SystemEntry(
        "diffusion",
        "Diffusion painters",
        "Wang, Vastola, TMLR, arXiv 2303.02490",
        "early sampling follows the closed-form Gaussian flow, so its first part can be replaced by one linear "
        "map at no loss",
    ),
    "diffusion-principles": SystemEntry(
        "diffusion",
        "Diffusion principles",
        "Lai, Song, Kim, Mitsufuji, Ermon, 2025, arXiv 2510.21890",
        "variational, score and flow views are one core; all samplers agree with closed-form oracles",
    ),
    "red-diff": SystemEntry(
        "diffusion",
        "RED-diff",
        "Mardani, Song, Kautz, Vahdat, ICLR 2024, arXiv 2305.04391",
        "inverse problems under a frozen diffusion prior are solved by optimisation with denoising as "
        "regulariser, without Jacobians",
    ),
    "rti-dp": SystemEntry(
        "diffusion",
        "RTI-DP",
        "Duan, Yin, Kragic, 2025, arXiv 2508.05396",
        "a diffusion policy started from its shifted last chunk needs only a handful of denoising steps per "
        "action, without retraining",
    ),
    "sb-irr": SystemEntry(
        "diffusion",
        "SB-IRR",
        "Shen, Berlinghieri, Broderick, AISTATS 2025, arXiv 2408.06277",
        "alternating Schrödinger bridges with refitting a family of drifts recovers trajectories and law from "
        "unpaired snapshots",
    ),
    "al-rnn": SystemEntry(
        "series",
        "Almost-linear RNN",
        "Brenner et al., NeurIPS 2024, arXiv 2410.14240",
        "a handful of ReLUs suffices: Lorenz-63 needs two, Rössler one, and the linear regions are a readable "
        "symbolic code",
    ),
    "chaos-benchmark": SystemEntry(
        "series",
        "Chaos forecasting benchmark",
        "Gilpin, Phys. Rev. Research 5 (2023), arXiv 2303.08011",
        "large generic models forecast chaos best when data are plentiful, physics-informed ones when they are scarce",
    ),
    "gtf": SystemEntry(
        "series",
        "Generalized teacher forcing",
        "Hess et al., ICML 2023, arXiv 2306.04406",
        "interpolating state and data bounds the gradients of chaotic training, so a tiny piecewise-linear RNN "
        "learns the attractor",
    ),
    "koopman-limits": SystemEntry(
        "series",
        "Koopman limits",
        "Colbrook, Mezić, Stepanenko, arXiv 2407.06312",
        "residuals from the same snapshots certify Koopman spectra, and adversarial systems show what no data can "
        "decide",
    ),
    "mamba-tokens": SystemEntry(
        "series",
        "Token dynamics of Mamba",
        "Vo et al., ICLR 2025, arXiv 2410.03292",
        "the sign of one scalar decides whether the tokens of deep selective state space models die or diverge",
    ),
    "neural-de": SystemEntry(
        "series",
        "Neural differential equations",
        "Kidger, thesis, Oxford 2021, arXiv 2202.02435",
        "networks as vector fields of ODEs, CDEs and SDEs train with exact, memory-cheap adjoints",
    ),
    "phyxmamba": SystemEntry(
        "series",
        "PhyxMamba",
        "Liu et al., 2025, arXiv 2505.23863",
        "delay patches, Mamba-2 layers and an MMD penalty on free runs forecast ten Lyapunov times and keep the "
        "attractor's statistics",
    ),
    "sindy-rl": SystemEntry(
        "series",
        "SINDy-RL",
        "Zolman et al., Nature Communications 2025, arXiv 2403.09110",
        "sparse polynomial dynamics, reward and policy reach PPO's return with far fewer interactions",
    ),
    "stnn": SystemEntry(
        "series",
        "StNN",
        "Aluvihare et al., 2025, arXiv 2503.23697",
        "structured Hankel factors realise the one-step map of an ODE in O(n log n) weights at a dense network's "
        "accuracy",
    ),
    "cape": SystemEntry(
        "fields",
        "CAPE",
        "ICML 2023, arXiv 2304.14118",
        "channel attention on PDE coefficients lets any neural emulator generalise to unseen coefficients",
    ),
    "causal-pinn": SystemEntry(
        "fields",
        "Causal PINN",
        "CMAME 421 (2024), arXiv 2203.07404",
        "weighting each time slice by the residual before it restores causality and finds solutions plain PINNs miss",
    ),
    "dcdm": SystemEntry(
        "fields",
        "DCDM",
        "ICML 2023, arXiv 2205.10763",
        "a learned search direction in conjugate gradients reaches any tolerance in few iterations, independent "
        "of problem size",
    ),
    "flamepinn": SystemEntry(
        "fields",
        "FlamePINN-1D",
        "Combustion and Flame 2025, arXiv 2406.09071",
        "one PINN recipe solves 1-D flames with their eigenvalue and recovers kinetic constants from sparse noisy data",
    ),
    "lpinn": SystemEntry(
        "fields",
        "Lagrangian PINN",
        "CMAME 2023, arXiv 2205.02902",
        "solving along characteristics makes training nearly insensitive to wave speed where plain PINNs fail",
    ),
    "nclaw": SystemEntry(
        "fields",
        "NCLaw",
        "ICML 2023, arXiv 2304.14369",
        "elastic and plastic laws learnt inside a differentiable MPM from one trajectory generalise to other "
        "shapes and couplings",
    ),
    "pgnd": SystemEntry(
        "fields",
        "PGND",
        "RSS 2025, arXiv 2506.15680",
        "particles plus a predicted grid velocity simulate deformable objects from few-view video better than "
        "graphs or fitted MPM",
    ),
    "pihc-moe": SystemEntry(
        "fields",
        "PI-HC-MoE",
        "ICLR 2024, arXiv 2402.13412",
        "splitting a hard-constraint solve among experts is more accurate and nearly constant in cost, without "
        "solution data",
    ),
    "pinn-symbolic": SystemEntry(
        "fields",
        "Universal PINN",
        "ICML 2023, arXiv 2212.04630",
        "a second network for the unknown term, then symbolic regression, names the missing operator from sparse "
        "noisy data",
    ),
    "spon": SystemEntry(
        "fields",
        "SPON",
        "Bouziani, Boullé, 2024, arXiv 2410.01065",
        "operator learning between finite-element spaces keeps boundary conditions exactly and splits the error "
        "into two parts",
    ),
    "tumor-forloop": SystemEntry(
        "fields",
        "For-loop tumour",
        "ML4H 2022, arXiv 2205.04550",
        "a nearest-neighbour query in a database of simulations personalises a tumour growth model in one loop",
    ),
    "visionlaw": SystemEntry(
        "fields",
        "VisionLaw",
        "ICLR 2026, arXiv 2508.13792",
        "proposed constitutive laws, fitted through MPM and renderer, give the readable law of a deforming object "
        "from one view",
    ),
    "dynlin-ucb": SystemEntry(
        "decisions",
        "DynLin-UCB",
        "Mussi, Metelli, Restelli, ICML 2023, arXiv 2211.08997",
        "holding each action until transients fade gives the lowest regret when rewards arrive through a hidden "
        "linear system",
    ),
    "irl-misspec": SystemEntry(
        "decisions",
        "IRL misspecification",
        "Skalse, Abate, ICLR 2024, arXiv 2403.06854",
        "no continuous behaviour model tolerates even tiny perturbations in the worst case; wrong discount or "
        "dynamics can be maximally wrong",
    ),
    "morec": SystemEntry(
        "decisions",
        "MOREC",
        "Luo, Xu, Cao, Yu, ICLR 2024, arXiv 2310.05422",
        "a dynamics reward recovered once by adversarial IRL filters model rollouts and keeps them usable for 100 "
        "steps",
    ),
    "ravl": SystemEntry(
        "decisions",
        "RAVL",
        "Sims, Lu, Foerster, Teh, NeurIPS 2024, arXiv 2402.12527",
        "offline model-based RL fails at edge-of-reach states even with a perfect model; value pessimism there "
        "repairs it",
    ),
    "deep-linear": SystemEntry(
        "learning",
        "Deep linear",
        "Saxe, McClelland, Ganguli, ICLR 2014, arXiv 1312.6120",
        "learning of deep linear networks is solved exactly: strong modes first, on sigmoids, in a time that "
        "stays finite with depth",
    ),
    "grokking-li2": SystemEntry(
        "learning",
        "Grokking Li2",
        "Tian, 2025, arXiv 2509.21519",
        "delayed generalisation has three stages, lazy, independent, interactive, and its features are the "
        "group's Fourier modes",
    ),
    "nesterov-dynamics": SystemEntry(
        "learning",
        "Nesterov dynamics",
        "Parimi et al., 2025, arXiv 2509.18346",
        "an attractive slow manifold on the gradient flow, designed as an ODE, discretises to Nesterov's "
        "accelerated steps",
    ),
}
