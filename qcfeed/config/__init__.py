"""Every option, declared once, and the values that the configuration file, the environment and flags give.

Each declaration defines a flag (``--drain-timeout``), an environment variable (``QCFEED_DRAIN_TIMEOUT``)
and a key of the configuration file (``drain_timeout``). ``loading`` loads the values, ``contexts`` the
services elsewhere that the file names.
"""

from qcfeed.config.groups import GROUPS, all_options, options
from qcfeed.config.nats import ClusterConfig, FeederConfig, NatsConfig
from qcfeed.config.prometheus import PrometheusConfig
from qcfeed.config.service import SPARE_FILES, Config

__all__ = [
    "GROUPS",
    "SPARE_FILES",
    "ClusterConfig",
    "Config",
    "FeederConfig",
    "NatsConfig",
    "PrometheusConfig",
    "all_options",
    "options",
]
