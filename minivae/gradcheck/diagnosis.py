"""x"""


def diagnose(result, claimed, subject):
    return "?"
