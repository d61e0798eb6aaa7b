"""Batched experiments on deep linear networks that solve inverse problems (arXiv 2502.15522)."""

from importlib.metadata import version as _version

from .checks import ArgumentError as ArgumentError
from .descent import Descent as Descent
from .descent import gradient_descent as gradient_descent
from .experiment import Experiment as Experiment
from .experiment import Verdict as Verdict
from .grid import Cell as Cell
from .grid import Sweep as Sweep
from .metrics import Metric as Metric
from .metrics import measure as measure
from .metrics import noisy_test_error as noisy_test_error
from .network import LayerProduct as LayerProduct
from .network import ReluNetwork as ReluNetwork
from .network import layer_product as layer_product
from .network import relu_network as relu_network
from .problem import Problem as Problem
from .problem import subspace_problem as subspace_problem
from .sweep import build as build
from .sweep import run_sweep as run_sweep
from .train import Run as Run
from .train import train as train
from .union import union_problem as union_problem

__version__ = _version("jaxinv")
