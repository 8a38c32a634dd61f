"""`./dev faults`: the fault lab, which breaks everything around a Redeem and checks what is left."""
