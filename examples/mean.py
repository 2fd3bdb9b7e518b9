def mean(values):
    total = 0
    for value in TODO:
        total += value
    return total / len(values)
