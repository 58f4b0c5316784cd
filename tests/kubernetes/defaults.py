"""What the API server adds to the objects, and that it is what the chart counts on."""

from objects import added


def check_defaults(pairs):
    for sent, stored in pairs:
        for path, value in added(sent, stored):
            print(sent["kind"], path, value)
