"""The NumPy, SciPy, scikit-learn and Pillow calls that reach outputs, each with the shapes of use.

Run as a script it prints, as JSON, a digest of what each computes on inputs that are the same everywhere.
"""

import ast
import hashlib
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("numpy", "scipy", "sklearn", "PIL")


def _draw(*shape: int, dtype: Any = np.float32, seed: int = 231) -> Any:
    """Multiples of 2^-16 within [-1, 1], which no machine rounds while it makes them."""
    whole = np.random.default_rng(seed).integers(-(2**16), 2**16, shape, endpoint=True)
    return (whole / 2**16).astype(dtype)


def _positive(*shape: int, dtype: Any = np.float32) -> Any:
    return np.abs(_draw(*shape, dtype=dtype)) + np.asarray(2**-8, dtype)


def _legacy(draw: Callable[[Any], Any]) -> Any:
    return draw(np.random.RandomState(231))  # the generator behind np.random's functions


def _of_both(function: Callable[..., Any], inputs: Callable[..., Any] = _draw) -> Callable[[], Any]:
    """A function of entries, in both precisions, on lengths that fill vectors and that do not."""
    return lambda: [
        function(inputs(size, dtype=kind)) for size in (1, 7, 4099) for kind in (np.float32, float)
    ]


def _pca() -> Any:
    from sklearn.decomposition import PCA

    found = []
    for rows, solver in ((300, "covariance_eigh"), (60, "full")):
        pca = PCA(16, svd_solver=solver).fit(_draw(rows, 96, dtype=float))
        found += [pca.components_, pca.explained_variance_ratio_, pca.mean_]
    return found


def _eigh() -> Any:
    from scipy.linalg import eigh

    x = _draw(90, 70, dtype=float)
    return eigh(x.T @ x, subset_by_index=(50, 69), driver="evr")


def _cholesky() -> Any:
    from scipy.linalg import cho_factor, cho_solve

    x = _draw(90, 70, dtype=float)
    factor, lower = cho_factor(x.T @ x + np.eye(70))
    return cho_solve((factor, lower), _draw(70, 20, dtype=float))


def _ssyrk() -> Any:
    from scipy.linalg.blas import ssyrk

    return ssyrk(1.0, _draw(70, 500), lower=1)


def _gaussian() -> Any:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(_draw(64, 64, dtype=float), 2.0)


def _rank() -> Any:
    from scipy.stats import rankdata

    return rankdata(np.round(_draw(400, dtype=float), 2))


def _sparse() -> Any:
    from scipy.sparse import csr_array

    counts = csr_array(np.rint(np.abs(_draw(50, 80, dtype=float)) * 1.2))
    return [counts.multiply(counts) @ _draw(80, dtype=float), (counts @ counts.T).toarray()]


def _svd_flip() -> Any:
    from sklearn.utils.extmath import svd_flip

    return svd_flip(None, _draw(8, 40, dtype=float), u_based_decision=False)[1]


def _digits() -> Any:
    from sklearn.datasets import load_digits

    return load_digits().data


def _pictures() -> Any:
    """Bytes of PNG, pixels of JPEG, resized and turned, with text drawn."""
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    found = []
    for side in (64, 231):
        pixels = np.abs(_draw(side, side + 9, 3) * 255).astype(np.uint8)
        smooth = Image.fromarray(pixels).resize((side * 2, side), Image.Resampling.BILINEAR)
        ImageDraw.Draw(smooth).text((2, 2), "two red", font=ImageFont.load_default(9), fill="white")
        for kind in ("PNG", "JPEG"):
            file = io.BytesIO()
            smooth.save(file, kind)
            with Image.open(file) as image:
                found += [
                    np.frombuffer(file.getvalue(), np.uint8),
                    np.asarray(ImageOps.exif_transpose(image)),
                ]
    return found


SHOWN: dict[str, Callable[[], Any]] = {
    "PIL.Image.fromarray": _pictures,
    "PIL.Image.new": _pictures,
    "PIL.Image.open": _pictures,
    "PIL.ImageDraw.Draw": _pictures,
    "PIL.ImageFont.load_default": _pictures,
    "PIL.ImageOps.exif_transpose": _pictures,
    "numpy.add.at": lambda: np.bincount(np.arange(5000) % 7, _draw(5000, dtype=float)),
    "numpy.bincount": lambda: np.bincount(np.arange(5000) % 7, _draw(5000, dtype=float)),
    "numpy.corrcoef": lambda: np.corrcoef(_draw(2, 4096, dtype=float)),
    "numpy.cumprod": lambda: np.cumprod(1 + _draw(50, dtype=float) / 8),
    "numpy.diff": lambda: np.diff(_draw(5000, dtype=float)),
    "numpy.cumsum": lambda: np.cumsum(_draw(5000, dtype=float)),
    "numpy.divide": lambda: np.divide(_draw(5000), _positive(5000)),
    "numpy.exp": _of_both(lambda x: np.exp(x * 20)),
    "numpy.expm1": _of_both(np.expm1),
    "numpy.cos": _of_both(lambda x: np.cos(x * 30)),
    "numpy.sin": _of_both(lambda x: np.sin(x * 30)),
    "numpy.tan": _of_both(np.tan),
    "numpy.log": _of_both(np.log, _positive),
    "numpy.log1p": _of_both(np.log1p, _positive),
    "numpy.log2": _of_both(np.log2, _positive),
    "numpy.log10": _of_both(np.log10, _positive),
    "numpy.sqrt": _of_both(np.sqrt, _positive),
    "numpy.tanh": _of_both(lambda x: np.tanh(x * 4)),
    "numpy.power": _of_both(lambda x: 10000.0**x),
    "numpy.fft.rfftn": lambda: np.fft.rfftn(_draw(2, 3, 64, 64), axes=(2, 3), norm="ortho"),
    "numpy.fft.fftn": lambda: np.fft.fftn(_draw(2, 3, 64, 64), axes=(2, 3), norm="ortho"),
    "numpy.fft.ifftn": lambda: np.fft.ifftn(_draw(2, 3, 64, 64), axes=(2, 3)),
    "numpy.fft.irfftn": lambda: np.fft.irfftn(np.fft.rfft2(_draw(2, 3, 64, 64)), (64, 64), (2, 3)),
    "numpy.linalg.qr": lambda: list(np.linalg.qr(_draw(64, 64))),
    "numpy.linalg.solve": lambda: np.linalg.solve(np.eye(9, dtype=np.float32) * 3 + _draw(9, 9), _draw(9)),
    "numpy.linspace": lambda: np.linspace(0, 1, 37),
    "numpy.matmul": lambda: [
        _draw(128, 13, 32) @ _draw(128, 32, 13),
        _draw(90, 70) @ _draw(70, 130),
        _draw(90, 70, dtype=float) @ _draw(70, 13, dtype=float),
        _draw(90, 70, dtype=float) @ _draw(70, dtype=float),
        _draw(70) @ _draw(70),
    ],
    "numpy.mean": lambda: [_draw(9, 5000).mean(), _draw(9, 5000).mean(0), _draw(9, 5000, dtype=float).std(1)],
    "numpy.outer": lambda: np.outer(_draw(90, dtype=float), _draw(40, dtype=float)),
    "numpy.quantile": lambda: np.quantile(_draw(1000, dtype=float), (0.025, 0.975)),
    "numpy.random.choice": lambda: _legacy(lambda draws: draws.choice(100, 20)),
    "numpy.random.default_rng": lambda: [
        np.random.default_rng(5).normal(size=999),
        np.random.default_rng(5).uniform(size=99),
        np.random.default_rng(5).permutation(99),
        np.random.default_rng(5).multinomial(500, [0.25, 0.5, 0.25], size=9),
    ],
    "numpy.random.Generator": lambda: np.random.Generator(np.random.Philox(key=5)).random(999),
    "numpy.random.Philox": lambda: np.random.Generator(np.random.Philox(key=5)).random(999),
    "numpy.random.SFC64": lambda: np.random.SFC64(5).random_raw(999),
    "numpy.random.permutation": lambda: _legacy(lambda draws: draws.permutation(99)),
    "numpy.random.randint": lambda: _legacy(lambda draws: draws.randint(0, 9, 99)),
    "numpy.random.randn": lambda: _legacy(lambda draws: draws.randn(999)),
    "numpy.random.seed": lambda: _legacy(lambda draws: draws.randn(999)),
    "numpy.rint": lambda: np.rint(_draw(5000) * 40),
    "numpy.round": lambda: np.round(_draw(5000, dtype=float), 3),
    "numpy.sum": lambda: [_draw(9, 5000).sum(), _draw(9, 5000).sum(0), _draw(9, 5000, dtype=float).sum(1)],
    "numpy.trace": lambda: np.trace(_draw(400, 400, dtype=float)),
    "scipy.linalg.blas.ssyrk": _ssyrk,
    "scipy.linalg.cho_factor": _cholesky,
    "scipy.linalg.cho_solve": _cholesky,
    "scipy.linalg.eigh": _eigh,
    "scipy.ndimage.gaussian_filter": _gaussian,
    "scipy.sparse.csr_array": _sparse,
    "scipy.stats.rankdata": _rank,
    "sklearn.datasets.load_digits": _digits,
    "sklearn.decomposition.PCA": _pca,
    "sklearn.utils.extmath.svd_flip": _svd_flip,
}
"""What computes with fractions, or writes and reads pictures."""

ROUNDS_NOTHING = set(
    """
    numpy.abs numpy.add.reduceat numpy.append numpy.arange numpy.argmax numpy.argmin numpy.argsort
    numpy.array numpy.asarray
    numpy.ascontiguousarray numpy.clip numpy.column_stack numpy.concatenate numpy.count_nonzero
    numpy.diag_indices numpy.divmod numpy.dtype numpy.empty numpy.errstate numpy.eye numpy.finfo
    numpy.flatnonzero numpy.frombuffer numpy.fromfile numpy.fromiter numpy.full numpy.greater_equal
    PIL.Image.registered_extensions
    numpy.isfinite numpy.isin numpy.lexsort numpy.load numpy.max numpy.maximum numpy.maximum.at numpy.memmap
    numpy.minimum numpy.ndindex numpy.nonzero numpy.ones numpy.pad numpy.ptp numpy.put_along_axis
    numpy.repeat numpy.savez numpy.searchsorted numpy.sort numpy.split numpy.stack numpy.take_along_axis
    numpy.tile numpy.unique numpy.unravel_index numpy.where numpy.zeros numpy.zeros_like
    """.split()  # noqa: SIM905
)
"""What moves, compares or counts."""


def calls_in(files: Iterable[Path]) -> set[str]:
    """The full names of the packages' functions that Python files call."""
    return {name for path in files for name in _calls(ast.parse(path.read_text(encoding="utf-8")))}


def _calls(tree: ast.Module) -> set[str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in PACKAGES:
                    names[alias.asname or alias.name.split(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def full(node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return names.get(node.id)
        if isinstance(node, ast.Attribute) and (inner := full(node.value)):
            return f"{inner}.{node.attr}"
        return None

    found = {full(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {name for name in found if name}


def digest(value: Any) -> str:
    """SHA-256 of arrays, bit by bit."""
    parts = value if isinstance(value, list | tuple) else [value]
    result = hashlib.sha256()
    for part in parts:
        array = np.ascontiguousarray(part)
        result.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return result.hexdigest()


if __name__ == "__main__":
    print(json.dumps({name: digest(function()) for name, function in SHOWN.items()}))
