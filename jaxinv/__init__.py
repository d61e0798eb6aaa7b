"""Batched experiments on deep linear networks that solve inverse problems (arXiv 2502.15522)."""

from importlib.metadata import version as _version

from .checks import ArgumentError as ArgumentError
from .measures.metrics import Metric as Metric
from .measures.metrics import measure as measure
from .measures.metrics import noisy_test_error as noisy_test_error
from .measures.noise import NoisyError as NoisyError
from .measures.regularizers import Regularizer as Regularizer
from .measures.regularizers import layer_decay as layer_decay
from .networks.activations import Activation as Activation
from .networks.builders import layer_product as layer_product
from .networks.builders import relu_network as relu_network
from .networks.layers import LayerProduct as LayerProduct
from .networks.layers import ReluNetwork as ReluNetwork
from .problems.generators import manifold_problem as manifold_problem
from .problems.generators import subspace_problem as subspace_problem
from .problems.generators import union_problem as union_problem
from .problems.problem import Problem as Problem
from .registry import register as register
from .studies.experiment import FIG_1A as FIG_1A
from .studies.experiment import Experiment as Experiment
from .studies.results import Runs as Runs
from .studies.timing import Timed as Timed
from .studies.timing import Timing as Timing
from .studies.verdicts import Verdict as Verdict
from .studies.verdicts import at_least as at_least
from .studies.verdicts import at_most as at_most
from .studies.verdicts import within as within
from .sweeps.grid import Cell as Cell
from .sweeps.grid import Sweep as Sweep
from .sweeps.method import Method as Method
from .sweeps.running import build as build
from .sweeps.running import run_sweep as run_sweep
from .training.descent import Descent as Descent
from .training.optimizers.builder import gradient_descent as gradient_descent
from .training.optimizers.named import Optimizer as Optimizer
from .training.run import Run as Run
from .training.run import gradient_flow as gradient_flow
from .training.run import train as train
from .training.width_free.chains import linearisation_of as linearisation_of

__version__ = _version("jaxinv")
