"""Many runs: experiments of DVC that go on after a kill, seeds, sweeps."""
