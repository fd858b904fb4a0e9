"""`python -m invdyn` is `invdyn`."""

import sys

from invdyn.cli.main import main

sys.exit(main())
