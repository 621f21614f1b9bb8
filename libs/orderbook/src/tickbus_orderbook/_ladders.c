/* Both sides of an order book, aggregated by price, as sorted arrays of levels.
 *
 * Each side keeps its levels ascending in the order of the book, the best one last (asks are
 * negated), because most changes happen near the best price, where an insertion moves the least
 * memory. Prices are compared as doubles: equal decimal strings parse to equal doubles.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FEW 256 /* changes that are read onto the stack */

typedef struct {
    double key;  /* the price of a bid, the negated price of an ask */
    double size; /* > 0 */
} Level;

typedef struct {
    Level *levels; /* by ascending key: the best one is last */
    Py_ssize_t used, room;
} Side;

typedef struct {
    PyObject_HEAD
    Side bids, asks;
} Ladders;

typedef struct {
    double key, size;
    Py_ssize_t place;
} Entry;

static int
side_reserve(Side *side, Py_ssize_t wanted)
{
    if (wanted <= side->room) return 0;
    Py_ssize_t room = side->room ? side->room : 64;
    while (room < wanted) room *= 2;
    Level *levels = PyMem_Realloc(side->levels, room * sizeof(Level));
    if (levels == NULL) { PyErr_NoMemory(); return -1; }
    side->levels = levels;
    side->room = room;
    return 0;
}

/* The place of the first key that is not below `key`; searched outwards from the best price. */
static Py_ssize_t
side_find(const Side *side, double key)
{
    const Level *levels = side->levels;
    Py_ssize_t high = side->used, step = 1, low;
    while (step <= side->used && levels[side->used - step].key >= key) {
        high = side->used - step;
        step *= 2;
    }
    low = step <= side->used ? side->used - step + 1 : 0;
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (levels[middle].key < key) low = middle + 1; else high = middle;
    }
    return low;
}

static int
side_set(Side *side, double key, double size)
{
    Py_ssize_t at = side_find(side, key);
    int known = at < side->used && side->levels[at].key == key;
    if (size != 0.0) {
        if (!known) {
            if (side_reserve(side, side->used + 1) < 0) return -1;
            memmove(side->levels + at + 1, side->levels + at, (side->used - at) * sizeof(Level));
            side->levels[at].key = key;
            side->used++;
        }
        side->levels[at].size = size;
    } else if (known) {
        side->used--;
        memmove(side->levels + at, side->levels + at + 1, (side->used - at) * sizeof(Level));
    }
    return 0;
}

/* Applies changes that are sorted, best price first, in one pass over what they span: a change of
 * forty levels would else move the same memory two dozen times. */
static int
side_merge(Side *side, const Level *changes, Py_ssize_t count)
{
    Py_ssize_t first = side_find(side, changes[count - 1].key), span = side->used - first;
    if (side_reserve(side, side->used + count) < 0) return -1;
    Level *old = PyMem_Malloc((span ? span : 1) * sizeof(Level)), *out = side->levels + first;
    if (old == NULL) { PyErr_NoMemory(); return -1; }
    memcpy(old, out, span * sizeof(Level));
    Py_ssize_t at = 0;
    for (Py_ssize_t i = count - 1; i >= 0; i--) {
        while (at < span && old[at].key < changes[i].key) *out++ = old[at++];
        if (at < span && old[at].key == changes[i].key) at++;
        if (changes[i].size != 0.0) *out++ = changes[i];
    }
    memcpy(out, old + at, (span - at) * sizeof(Level));
    side->used = out + (span - at) - side->levels;
    PyMem_Free(old);
    return 0;
}

static int
read_number(PyObject *value, double *number)
{
    *number = PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) : PyFloat_AsDouble(value);
    if (*number == -1.0 && PyErr_Occurred()) return -1;
    if (!isfinite(*number)) {
        PyErr_SetString(PyExc_ValueError, "a price or size is not finite");
        return -1;
    }
    return 0;
}

static int
read_level(PyObject *level, double *price, double *size)
{
    if (PyTuple_CheckExact(level) && PyTuple_GET_SIZE(level) == 2)
        return read_number(PyTuple_GET_ITEM(level, 0), price) < 0
            || read_number(PyTuple_GET_ITEM(level, 1), size) < 0 ? -1 : 0;
    PyObject *pair = PySequence_Fast(level, "a level is a pair of price and size");
    if (pair == NULL) return -1;
    int result = -1;
    if (PySequence_Fast_GET_SIZE(pair) != 2)
        PyErr_SetString(PyExc_ValueError, "a level is a pair of price and size");
    else if (read_number(PySequence_Fast_GET_ITEM(pair, 0), price) == 0
             && read_number(PySequence_Fast_GET_ITEM(pair, 1), size) == 0)
        result = 0;
    Py_DECREF(pair);
    return result;
}

static int
side_apply(Side *side, PyObject *changes, double sign)
{
    PyObject *fast = PySequence_Fast(changes, "levels are an iterable of (price, size) pairs");
    if (fast == NULL) return -1;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(fast);
    Level few[FEW], *read = count > FEW ? PyMem_Malloc(count * sizeof(Level)) : few;
    int result = -1, sorted = 1;
    if (read == NULL) { PyErr_NoMemory(); goto done; }
    for (Py_ssize_t i = 0; i < count; i++) {
        double price;
        if (read_level(PySequence_Fast_GET_ITEM(fast, i), &price, &read[i].size) < 0) goto done;
        read[i].key = sign * price;
        if (i && !(read[i].key < read[i - 1].key)) sorted = 0;
    }
    result = 0;
    if (sorted && count > 2) {
        result = side_merge(side, read, count);
    } else {
        for (Py_ssize_t i = 0; i < count && result == 0; i++)
            result = side_set(side, read[i].key, read[i].size);
    }
done:
    if (read != few) PyMem_Free(read);
    Py_DECREF(fast);
    return result;
}

static int
entry_order(const void *left, const void *right)
{
    const Entry *a = left, *b = right;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

/* Replaces a side; of a price given twice the last size counts. Nothing changes on an error. */
static int
side_load(Side *side, PyObject *levels, double sign)
{
    PyObject *fast = PySequence_Fast(levels, "levels are an iterable of (price, size) pairs");
    if (fast == NULL) return -1;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(fast);
    Entry *entries = PyMem_Malloc((count ? count : 1) * sizeof(Entry));
    if (entries == NULL) { Py_DECREF(fast); PyErr_NoMemory(); return -1; }
    int sorted = 1;
    for (Py_ssize_t i = 0; i < count; i++) {
        /* Filled from the end: levels come best first, and the best one is kept last. */
        Entry *entry = &entries[count - 1 - i];
        double price;
        if (read_level(PySequence_Fast_GET_ITEM(fast, i), &price, &entry->size) < 0) {
            PyMem_Free(entries);
            Py_DECREF(fast);
            return -1;
        }
        entry->key = sign * price;
        entry->place = i;
        if (i && !(entry->key < entries[count - i].key)) sorted = 0;
    }
    Py_DECREF(fast);
    if (!sorted) qsort(entries, count, sizeof(Entry), entry_order);
    if (side_reserve(side, count) < 0) { PyMem_Free(entries); return -1; }
    side->used = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (i + 1 < count && entries[i + 1].key == entries[i].key) continue;
        if (entries[i].size == 0.0) continue;
        side->levels[side->used].key = entries[i].key;
        side->levels[side->used++].size = entries[i].size;
    }
    PyMem_Free(entries);
    return 0;
}

static PyObject *
make_level(const Side *side, Py_ssize_t at, double sign)
{
    PyObject *price = PyFloat_FromDouble(sign * side->levels[at].key);
    PyObject *size = PyFloat_FromDouble(side->levels[at].size);
    PyObject *level = price && size ? PyTuple_New(2) : NULL;
    if (level == NULL) { Py_XDECREF(price); Py_XDECREF(size); return NULL; }
    PyTuple_SET_ITEM(level, 0, price);
    PyTuple_SET_ITEM(level, 1, size);
    return level;
}

/* Levels from place `first` (0 is the best) up to `last`, best first. */
static PyObject *
make_levels(const Side *side, Py_ssize_t first, Py_ssize_t last, double sign)
{
    if (last > side->used) last = side->used;
    if (first > last) first = last;
    PyObject *levels = PyTuple_New(last - first);
    if (levels == NULL) return NULL;
    for (Py_ssize_t i = first; i < last; i++) {
        PyObject *level = make_level(side, side->used - 1 - i, sign);
        if (level == NULL) { Py_DECREF(levels); return NULL; }
        PyTuple_SET_ITEM(levels, i - first, level);
    }
    return levels;
}

static PyObject *
make_both(Ladders *self, Py_ssize_t first, Py_ssize_t last)
{
    PyObject *bids = make_levels(&self->bids, first, last, 1.0);
    PyObject *asks = bids ? make_levels(&self->asks, first, last, -1.0) : NULL;
    PyObject *both = asks ? PyTuple_Pack(2, bids, asks) : NULL;
    Py_XDECREF(bids);
    Py_XDECREF(asks);
    return both;
}

static int
two_arguments(const char *name, Py_ssize_t count)
{
    if (count == 2) return 1;
    PyErr_Format(PyExc_TypeError, "%s() takes 2 arguments, got %zd", name, count);
    return 0;
}

static PyObject *
ladders_load(Ladders *self, PyObject *const *args, Py_ssize_t count)
{
    if (!two_arguments("load", count)) return NULL;
    if (side_load(&self->bids, args[0], 1.0) < 0) return NULL;
    if (side_load(&self->asks, args[1], -1.0) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *
ladders_apply(Ladders *self, PyObject *const *args, Py_ssize_t count)
{
    if (!two_arguments("apply", count)) return NULL;
    if (side_apply(&self->bids, args[0], 1.0) < 0) return NULL;
    if (side_apply(&self->asks, args[1], -1.0) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *
ladders_depth(Ladders *self, PyObject *levels)
{
    Py_ssize_t count = PyNumber_AsSsize_t(levels, PyExc_OverflowError);
    if (count == -1 && PyErr_Occurred()) return NULL;
    return make_both(self, 0, count > 0 ? count : 0);
}

static PyObject *
ladders_truncate(Ladders *self, PyObject *levels)
{
    Py_ssize_t keep = PyNumber_AsSsize_t(levels, PyExc_OverflowError);
    if (keep == -1 && PyErr_Occurred()) return NULL;
    if (keep < 0) keep = 0;
    PyObject *removed = make_both(self, keep, PY_SSIZE_T_MAX);
    if (removed == NULL) return NULL;
    Side *sides[2] = {&self->bids, &self->asks};
    for (int i = 0; i < 2; i++) {
        Side *side = sides[i];
        Py_ssize_t surplus = side->used - keep;
        if (surplus <= 0) continue;
        memmove(side->levels, side->levels + surplus, keep * sizeof(Level));
        side->used = keep;
    }
    return removed;
}

static PyObject *
ladders_size_of(Ladders *self, PyObject *const *args, Py_ssize_t count)
{
    if (!two_arguments("size_of", count)) return NULL;
    int is_bid = PyObject_IsTrue(args[0]);
    if (is_bid < 0) return NULL;
    double price = PyFloat_AsDouble(args[1]);
    if (price == -1.0 && PyErr_Occurred()) return NULL;
    const Side *side = is_bid ? &self->bids : &self->asks;
    double key = is_bid ? price : -price;
    Py_ssize_t at = side_find(side, key);
    int known = at < side->used && side->levels[at].key == key;
    return PyFloat_FromDouble(known ? side->levels[at].size : 0.0);
}

static PyObject *
ladders_best_bid(Ladders *self, void *unused)
{
    if (!self->bids.used) Py_RETURN_NONE;
    return make_level(&self->bids, self->bids.used - 1, 1.0);
}

static PyObject *
ladders_best_ask(Ladders *self, void *unused)
{
    if (!self->asks.used) Py_RETURN_NONE;
    return make_level(&self->asks, self->asks.used - 1, -1.0);
}

static PyObject *
ladders_mid(Ladders *self, void *unused)
{
    if (!self->bids.used || !self->asks.used) Py_RETURN_NONE;
    double bid = self->bids.levels[self->bids.used - 1].key;
    double ask = -self->asks.levels[self->asks.used - 1].key;
    return PyFloat_FromDouble((bid + ask) / 2);
}

static PyObject *
ladders_is_crossed(Ladders *self, void *unused)
{
    return PyBool_FromLong(
        self->bids.used && self->asks.used
        && self->bids.levels[self->bids.used - 1].key >= -self->asks.levels[self->asks.used - 1].key);
}

static Py_ssize_t
ladders_length(Ladders *self)
{
    return self->bids.used + self->asks.used;
}

static void
ladders_dealloc(Ladders *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyMem_Free(self->bids.levels);
    PyMem_Free(self->asks.levels);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"load", (PyCFunction)(void (*)(void))ladders_load, METH_FASTCALL,
     "load(bids, asks): replace the whole book; of a price given twice the last size counts, 0"
     " means none. Raises TypeError, ValueError."},
    {"apply", (PyCFunction)(void (*)(void))ladders_apply, METH_FASTCALL,
     "apply(bids, asks): set absolute sizes; 0 removes the level, also an unknown one. Raises"
     " TypeError, ValueError; then nothing of that side was changed."},
    {"depth", (PyCFunction)ladders_depth, METH_O,
     "depth(levels): the best levels of each side as (bids, asks), best first."},
    {"truncate", (PyCFunction)ladders_truncate, METH_O,
     "truncate(levels): keep the best levels of each side; those removed as (bids, asks)."},
    {"size_of", (PyCFunction)(void (*)(void))ladders_size_of, METH_FASTCALL,
     "size_of(is_bid, price): the size at price, 0 without such a level."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getters[] = {
    {"best_bid", (getter)ladders_best_bid, NULL, "(price, size) of the highest bid or None", NULL},
    {"best_ask", (getter)ladders_best_ask, NULL, "(price, size) of the lowest ask or None", NULL},
    {"mid", (getter)ladders_mid, NULL, "half way between best bid and ask, or None", NULL},
    {"is_crossed", (getter)ladders_is_crossed, NULL, "whether bid is at or above ask", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Both sides of one order book; see tickbus.orderbook.OrderBook."},
    {Py_tp_dealloc, ladders_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {Py_sq_length, ladders_length},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "tickbus_orderbook._ladders.Ladders",
    .basicsize = sizeof(Ladders),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_ladders",
    .m_doc = "Both sides of an order book as sorted arrays of doubles.",
    .m_size = -1,
};

PyMODINIT_FUNC
PyInit__ladders(void)
{
    PyObject *made = PyModule_Create(&module);
    if (made == NULL) return NULL;
    PyObject *type = PyType_FromSpec(&spec);
    if (type == NULL || PyModule_AddObject(made, "Ladders", type) < 0) {
        Py_XDECREF(type);
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
