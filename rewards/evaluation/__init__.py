"""The command `qrpo-sandbox eval`: samples of other projects' formats judged, counted and reported."""
