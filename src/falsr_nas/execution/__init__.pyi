from .executor import Executor as Executor
from .inline import InlineExecutor as InlineExecutor
from .processes import ProcessesExecutor as ProcessesExecutor
from .settings import ExecutionSettings as ExecutionSettings
from .settings import InlineSettings as InlineSettings
from .settings import ProcessesSettings as ProcessesSettings
