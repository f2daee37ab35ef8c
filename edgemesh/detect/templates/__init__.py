"""Templates of rules per asset class: data with sources; see README.md beside this file.

They are starting points for engineers. None of them claims compliance with the standard that it takes its levels from.
"""

from edgemesh.detect.templates.catalogue import TEMPLATES, find_template
from edgemesh.detect.templates.expansion import Expanded, TemplateUse, expand, expand_template

__all__ = ["TEMPLATES", "Expanded", "TemplateUse", "expand", "expand_template", "find_template"]
