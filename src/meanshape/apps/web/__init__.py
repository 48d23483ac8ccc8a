"""The page and the JSON API: `meanshape serve` and `meanshape annotate`.

server.py    the app: routes of the API, errors as JSON
guard.py     who may ask: token, hosts, origins, sizes, headers
service.py   models kept ready, few requests at a time, the others wait or are told to come again
explain.py   what a model does inside: stages, iterations, modes
folder.py    labels of a folder's photos, corrected by hand: read, versioned, written whole
static/      the pages: HTML, CSS and JavaScript modules, used as they are
site.py      `meanshape page`: standalone/, a page of its own for any static host
"""
