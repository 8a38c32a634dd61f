"""`./dev faults`: the fault lab, which breaks what is around a Redeem and checks what is left."""
