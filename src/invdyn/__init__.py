"""invdyn: from what was observed to what caused it.

observe -> infer -> verify -> label -> train -> evaluate. The rooms of the package are described in
ARCHITECTURE.md; import what you need from them (`from invdyn.episodes import Dataset`). Importing
`invdyn` itself does no work.
"""

__all__ = ["__version__"]
__version__ = "0.1.0"
