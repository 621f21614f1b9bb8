"""What pyproject.toml cannot say yet: the extension to compile."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "tickbus_orderbook._ladders",
            ["src/tickbus_orderbook/_ladders.c"],
            extra_compile_args=["-O2"],
        )
    ]
)
