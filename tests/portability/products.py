"""Prints, as JSON, SHA-256 of products of many sizes by recap.runtime.linear: products.py [--large]."""

import hashlib
import json
import sys
from itertools import product as combinations

import torch

from recap.runtime.config import RuntimeConfig
from recap.runtime.linear import multiplier, parameter_gradients
from recap.runtime.setup import configure

INNER = (2, 8, 100, 384, 512, 513, 768, 1004, 1024, 1025, 2048, 3000)
SMALL = [(rows, inner, columns) for inner in INNER for rows, columns in combinations((1, 2, 7), (1, 5, 40))]
LARGE = [(rows, inner, columns) for inner in INNER for rows, columns in ((100, 256), (512, 1004), (1100, 64))]


def main() -> None:
    configure(RuntimeConfig("portable", 2, "cpu"))
    found = {}
    for rows, inner, columns in LARGE if sys.argv[1:] == ["--large"] else SMALL:
        torch.manual_seed(0)
        x, weight, bias = torch.randn(rows, inner), torch.randn(columns, inner), torch.randn(columns)
        transposed = torch.randn(inner, columns).t()
        results = (
            multiplier(weight, bias)(x),
            multiplier(transposed, bias)(x),
            multiplier(weight, bias, "sigmoid")(x),
            multiplier(transposed, bias, "tanh")(x),
            multiplier(transposed)(torch.randn(inner, rows).t()),
            *parameter_gradients(torch.randn(inner, rows), torch.randn(inner, columns)),
        )
        digest = hashlib.sha256(b"".join(result.contiguous().numpy().tobytes() for result in results))
        found[f"{rows} x {inner} x {columns}"] = digest.hexdigest()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
