"""The file that a Flex Template's launcher image names in FLEX_TEMPLATE_PYTHON_PY_FILE."""

import sys

from pipelines.launch import main

if __name__ == "__main__":
    sys.exit(main())
