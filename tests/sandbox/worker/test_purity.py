"""Which test code can leave something behind in its process."""

import pytest

from sandbox.worker.purity import leaves_nothing

HARMLESS = [
    "assert f([1, 2]) == sorted([2, 1])",
    "import math\nassert math.isclose(f(1), 2.0)",
    "from typing import *\nfrom collections import deque\nassert f(deque([1])) == 1",
    "import random\nassert f() == 1",  # imported, as preludes do, and not used
    "import numpy as np\nassert np.array_equal(f(), np.zeros(3))",
    "class Node:\n    def __init__(self, x):\n        self.x = x\nhead = Node(1)\nhead.next = Node(2)",
    "table = {}\ntable['a'] = 1\nfor row in [[0]]:\n    row[0] += 1\nassert f(table) == 1",
    "from math import *\nfrom typing import List\ndef g(x: List[int]):\n    return inf\nassert f() == inf",
    "class A:\n    def __init__(self):\n        self._x = 1\n        self._x += 1\nassert f(A()) == 1",
    "seen = []\nassert f(lambda x: seen.append(x) or x) == 1",
]
HARMFUL = [
    "import random\nrandom.seed(1)",
    "from random import *\nassert f() == 1",
    "from random import randint\nassert f(randint(1, 2)) == 1",
    "import sys\nsys.setrecursionlimit(10)",
    "import math\nmath.pi = 3",
    "import collections\ncollections.abc.Sized = None",
    "import decimal\ndecimal.getcontext().prec = 3",
    "from decimal import *\ngetcontext().prec = 3",
    "import numpy as np\nnp.random.seed(1)",
    "import numpy as np\nnp.seterr(all='raise')",
    "import os\nos.environ['A'] = 'b'",
    "import time\nassert time.time() > 0",
    "setattr(f, 'x', 1)",
    "exec('import random')",
    "open('x')",
    "f().__class__.x = 1",
    "globals()['__builtins__']['len'] = None",
    "vars(f)['x'] = 1",
    "from . import thing\nassert f(thing) == 1",
    "g().x = 1",
    "from json import JSONEncoder\nJSONEncoder.default = None",
    "from collections import Counter\nCounter.seen = []",
    "from collections import *\nCounter.seen = []",
    "import math\nm = math\nm.pi = 3",
    "import math\nfor m in (math,):\n    m.pi = 3",
    "import math\nf(math)",
    "__builtins__['sorted'] = 3",
    "import copy\ncopy._deepcopy_dispatch.update({})",
    "list.x = 1",
    "def f(:",
]


@pytest.mark.parametrize("code", HARMLESS)
def test_code_that_leaves_nothing(code: str) -> None:
    assert leaves_nothing([code])


@pytest.mark.parametrize("code", HARMFUL)
def test_code_that_may_leave_something(code: str) -> None:
    assert not leaves_nothing([code])


def test_what_one_piece_imports_another_may_use() -> None:
    assert not leaves_nothing(["import random", "assert f(random.random()) == 1"])
