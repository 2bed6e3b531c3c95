from .executor import Executor as Executor
from .inline import InlineExecutor as InlineExecutor
from .processes import ProcessesExecutor as ProcessesExecutor
from .ray_executor import RayExecutor as RayExecutor
from .settings import ExecutionSettings as ExecutionSettings
from .settings import InlineSettings as InlineSettings
from .settings import ProcessesSettings as ProcessesSettings
from .settings import RaySettings as RaySettings
