"""Paths of the rivals' methods and of those they are compared with."""

ECHO = "/rivals.Echo/Echo"
TEXTBOOK = "/rivals.Textbook/Redeem"
ONE_CALL = "/rivals.OneCall/Redeem"
REDEEM = "/guerdon.api.offers.v1.OfferService/Redeem"
REDEEM_BATCH = "/guerdon.api.offers.v1.OfferService/RedeemBatch"
CHECK_ELIGIBILITY = "/guerdon.api.offers.v1.OfferService/CheckEligibility"
QUOTE = "/guerdon.api.offers.v1.OfferService/Quote"
