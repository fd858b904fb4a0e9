"""The commands. Each file holds one: a frozen dataclass whose fields are its options, `run` and `show`.

| command | does |
|---|---|
| `demo` | the main job on an embedded default, with a report |
| `data make` | recordings of a world's expert |
| `inspect` | what is in these recordings |
| `convert` | between formats; hides or filters signals and episodes |
| `fit` | an inverse model from the episodes whose causes are known, with calibrated intervals |
| `label` | the causes of the rest, written as a new dataset; resumable |
| `verify` | replays causes forward, compares with recorded ones |
| `train` | a policy on measured and inferred causes |
| `evaluate` | a policy in a world |
| `studies`, `study` | the 58 systems, and one of them re-tested |
| `bench` | our speed against a peer in the same run |

What they share: `main.py` finds the command and ends it, `parsing.py` reads its options, `options.py` opens recordings
and claims outputs, `selection.py` numbers episodes, `output.py` prints, `script.py` makes
commands of the examples, `figures.py` and `report.py` make the reports.
"""
