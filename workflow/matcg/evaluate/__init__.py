"""Questions asked of fine-tuned models, and their answers."""

import sys

from matcg import plugins
from matcg.config.backbone import Backbone
from matcg.errors import ConfigError

ENGINE = "_engine"  # how the names of engines' modules end


def check_engine(backbone: Backbone) -> None:
    """Raise ConfigError where no module is a backbone's engine; none is imported."""
    try:
        plugins.check_name(sys.modules[__name__], backbone.engine, "engine", ENGINE)
    except ConfigError as error:
        raise ConfigError(f"{backbone.where}: engine: {error}") from None
