"""Two pipelines on one page: `recap report --compare`."""
