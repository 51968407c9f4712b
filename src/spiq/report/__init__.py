"""A page about a quantized network, in pictures: what is known, what is bad, how to mend it.

    gather    the facts, as plain data            (facts.py, gather.py, seen.py, timing.py)
    diagnose  cause and remedy for bad layers     (diagnosis.py, remedies.py)
    render    one HTML page that needs no network (charts.py, page.py, page.css, page.js)

Diagnosis reads nothing but facts, and rendering nothing but facts and findings.
"""
