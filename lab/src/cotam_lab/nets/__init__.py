"""Networks in torch. Nothing outside ``nn``, ``train`` and the torch runtime imports this package."""
