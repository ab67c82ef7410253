"""`python -m recap.cli` is `recap`."""

import sys

from recap.cli.main import main

sys.exit(main())
