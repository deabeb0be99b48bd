"""Who runs next, on which model, with which cache."""

import logging

# Where bitsandbytes is installed, transformers and PEFT import it for every model, and it asks for a package that only
# makes quantised models on a CPU faster. Set here, before any module of the engine can import it.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
