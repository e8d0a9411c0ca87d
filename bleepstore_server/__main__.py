"""`python -m bleepstore_server` is `bleepstore`."""

import sys

from bleepstore_server.cli import main

sys.exit(main())
