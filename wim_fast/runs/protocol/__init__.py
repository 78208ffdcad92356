"""The papers' evaluation protocols (`evaluation.protocols`) measured on runs: checked, measured, tabulated."""
