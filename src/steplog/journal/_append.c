/* The compiled append: what append.py specifies, for the fast cases, in one call.
 *
 * Room    the slots of one segment: its memory, and the counter that claims them. Python code claims by calling it,
 *         and closes it with shut() before it takes the segment's end; after that, nothing here writes.
 * Append  what run.log is bound to. An exact float or int, an exact int or no step, no client, an exact str that this
 *         segment has declared: one slot is claimed and written here; or a slot for each item of an exact dict of such.
 *         Everything else is slow(name, value, step, client), with nothing claimed.
 *
 * What makes it right: from the look into the segment to the last store no Python code runs and the GIL is held, so a
 * claim and its slot cannot be cut in two by a thread, a signal handler or a fork, and no hole is ever left. The kind
 * is in the last eight bytes, which are stored with release order: a reader in another process that sees it sees the
 * whole slot. A Room holds its memory as an exported buffer, so that it is mapped for as long as it can be written to.
 * Without a GIL this would need more; the module does not say that it can do without one, so CPython keeps it on.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

/* As in slot.py. */
#define SLOT_BYTES 32
#define KEY_OFFSET 24
#define NO_STEP INT64_MIN
#define METRICS_MAX 256 /* of one call that the compiled append takes; 4 KiB of the stack */
#define FLOAT_TO_INT ((uint64_t)1 << 48) /* from the key of a float to the key of an int */

typedef struct {
    PyObject_HEAD
    Py_buffer view;
    Py_ssize_t next; /* the offset that the next claim gets */
    Py_ssize_t end;  /* of the memory; 0 once it is shut, when view is released */
} Room;

/* The wall clock, read from the processor's counter where that runs steadily: a third of what a call costs otherwise.
 * A time is ns + (ticks - then) * scale, for at most a millisecond after the clock itself was read; so whatever the
 * counter does, and whenever somebody sets the clock, a time is wrong by a millisecond at most. */
typedef struct {
    uint64_t ticks; /* when the clock was read */
    int64_t ns;     /* and what it said */
    uint64_t scale; /* ns a tick, times 2^32 */
    uint64_t window; /* ticks for which that holds; 0: not known yet, and the clock is read each time */
    uint64_t measured_ticks; /* since when scale is being measured */
    int64_t measured_ns;
} Ticks;

/* Names that were looked up in this segment, found again by their address. They are exact str, held while they are
 * here; all are dropped with the segment. */
typedef struct {
    PyObject *name;
    uint64_t key;
} Known;

#define KNOWN_MAX 16 /* a power of two */

typedef struct {
    PyObject_HEAD
    Ticks ticks;
    Known known[KNOWN_MAX];
    PyObject *segment;
    PyObject *names; /* segment.names: name -> key with KIND_FLOAT */
    Room *room;      /* segment.claim; NULL: a segment without room, and every call is slow */
    PyObject *slow;
    PyObject *clock;
    int is_time_ns; /* clock is time.time_ns, which is called without going through Python */
} Append;

typedef struct {
    PyTypeObject *room_type;
    PyObject *time_ns;
} State;

static int ticks_are_steady; /* of this processor; written once, when the module is first loaded */

static State *
state_of(Append *self)
{
    return PyType_GetModuleState(Py_TYPE(self)); /* the type cannot be subclassed */
}

/* -- Room --------------------------------------------------------------------------------------------------------- */

static PyObject *
room_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *memory;
    Py_ssize_t start;
    if (keywords != NULL && PyDict_GET_SIZE(keywords) != 0) {
        PyErr_SetString(PyExc_TypeError, "Room() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "On:Room", &memory, &start)) {
        return NULL;
    }
    Room *self = (Room *)type->tp_alloc(type, 0);
    if (self == NULL || PyObject_GetBuffer(memory, &self->view, PyBUF_WRITABLE) < 0) {
        Py_XDECREF(self);
        return NULL;
    }
    if (start < 0 || start > PY_SSIZE_T_MAX / 2 /* claims count from there */
        || (start < self->view.len && ((uintptr_t)self->view.buf + (size_t)start) % sizeof(uint64_t) != 0)) {
        PyErr_SetString(PyExc_ValueError, "slots begin at a multiple of eight bytes");
        Py_DECREF(self);
        return NULL;
    }
    self->next = start;
    self->end = self->view.len;
    return (PyObject *)self;
}

static int
room_clear(Room *self)
{
    self->end = 0;
    PyBuffer_Release(&self->view); /* does nothing when it is released already */
    return 0;
}

static int
room_traverse(Room *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->view.obj);
    return 0;
}

static void
room_dealloc(Room *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    room_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
room_call(Room *self, PyObject *args, PyObject *keywords)
{
    if (PyTuple_GET_SIZE(args) != 0 || (keywords != NULL && PyDict_GET_SIZE(keywords) != 0)) {
        PyErr_SetString(PyExc_TypeError, "a claim takes no arguments");
        return NULL;
    }
    PyObject *offset = PyLong_FromSsize_t(self->next);
    if (offset != NULL) {
        self->next += SLOT_BYTES;
    }
    return offset;
}

static PyObject *
room_shut(Room *self, PyObject *Py_UNUSED(ignored))
{
    room_clear(self);
    Py_RETURN_NONE;
}

static PyMethodDef room_methods[] = {
    {"shut", (PyCFunction)room_shut, METH_NOARGS, "Write no more here, for good, and let go of the memory."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef room_members[] = {
    {"next", T_PYSSIZET, offsetof(Room, next), READONLY, "The offset that the next claim gets."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot room_slots[] = {
    {Py_tp_doc, "Room(memory, start): the slots from offset start on. A call claims one, and returns its offset."},
    {Py_tp_new, room_new},
    {Py_tp_dealloc, room_dealloc},
    {Py_tp_traverse, room_traverse},
    {Py_tp_clear, room_clear},
    {Py_tp_call, room_call},
    {Py_tp_methods, room_methods},
    {Py_tp_members, room_members},
    {0, NULL},
};

static PyType_Spec room_spec = {
    .name = "steplog.journal._append.Room",
    .basicsize = sizeof(Room),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = room_slots,
};

/* -- Append.log --------------------------------------------------------------------------------------------------- */

/* Sorts the arguments of a call by place: name, value, step, client. */
static int
sort_arguments(PyObject **given, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    static const struct {
        const char *name;
        int place;
    } parameters[] = {{"step", 2}, {"value", 1}, {"name", 0}, {"client", 3}}; /* step comes by name most often */

    if (count > 4) {
        PyErr_Format(PyExc_TypeError, "log() takes at most 4 arguments (%zd given)", count);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        given[i] = args[i];
    }
    Py_ssize_t named = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, i);
        size_t p = 0;
        while (p < 4 && PyUnicode_CompareWithASCIIString(keyword, parameters[p].name) != 0) {
            p++;
        }
        if (p == 4) {
            PyErr_Format(PyExc_TypeError, "log() got an unexpected keyword argument '%U'", keyword);
            return -1;
        }
        if (parameters[p].place < count) {
            PyErr_Format(PyExc_TypeError, "log() got multiple values for argument '%U'", keyword);
            return -1;
        }
        given[parameters[p].place] = args[count + i];
    }
    if (given[0] == NULL) {
        PyErr_SetString(PyExc_TypeError, "log() missing a required argument: 'name'");
        return -1;
    }
    return 0;
}

/* An exact int of 64 bits; whether it is one. */
static int
read_int64(PyObject *number, int64_t *result)
{
    int overflow;
    if (!PyLong_CheckExact(number)) {
        return 0;
    }
    *result = PyLong_AsLongLongAndOverflow(number, &overflow);
    return !overflow;
}

/* The eight bytes of an exact float or an int of 64 bits, and what they add to the key; whether it is one. */
static int
read_value(PyObject *value, uint64_t *bits, uint64_t *kind)
{
    if (PyFloat_CheckExact(value)) {
        double number = PyFloat_AS_DOUBLE(value);
        memcpy(bits, &number, sizeof number);
        *kind = 0;
        return 1;
    }
    int64_t number;
    if (!read_int64(value, &number)) {
        return 0;
    }
    *bits = (uint64_t)number;
    *kind = FLOAT_TO_INT;
    return 1;
}

static int
read_step(PyObject *step, int64_t *number)
{
    *number = NO_STEP;
    return step == Py_None || (read_int64(step, number) && *number != NO_STEP);
}

/* As find_key, of a name that is not known yet. Code of a name in the segment may run, and move the segment on: then
 * there is no key, since it would be another's. */
static __attribute__((noinline)) int
look_up(Append *self, PyObject *name, Known *known, uint64_t *key)
{
    PyObject *names = self->names;
    Room *room = self->room;
    Py_INCREF(names); /* that code could take it away */
    PyObject *found = PyDict_GetItemWithError(names, name);
    int64_t number = 0;
    int is_known = found != NULL && PyUnicode_CheckExact(name) && read_int64(found, &number) && names == self->names
                   && room == self->room;
    *key = (uint64_t)number;
    if (is_known) {
        PyObject *old = known->name;
        known->name = Py_NewRef(name);
        known->key = *key;
        Py_XDECREF(old); /* an exact str: no code runs */
    }
    Py_DECREF(names);
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_KeyError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    return is_known;
}

/* 1: the key of this name in this segment, which has a room; 0: it has none, or there is no room; -1: an exception, of
 * the name's own hash or comparison. Anything but an exact str is looked up for that exception alone. */
static int
find_key(Append *self, PyObject *name, uint64_t *key)
{
    if (self->room == NULL) {
        return 0;
    }
    Known *known = &self->known[((uintptr_t)name >> 4 ^ (uintptr_t)name >> 8) & (KNOWN_MAX - 1)];
    if (known->name == name) {
        *key = known->key;
        return 1;
    }
    return look_up(self, name, known, key);
}

#if defined(__x86_64__)

#define WINDOW_NS 1000000
#define MEASURE_NS_MIN 10000000 /* for an error of a thousandth */
#define MEASURE_NS_MAX 1000000000
#define TOGETHER_TICKS 20000 /* clock and counter are read together if no more than that passes: some 5 to 10 us */
#define SCALE_MIN (((uint64_t)1 << 32) / 8) /* 8 GHz */
#define SCALE_MAX (((uint64_t)1 << 32) * 2) /* 0.5 GHz */

static int
is_tick_counter_steady(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d >> 8 & 1); /* runs at one rate, in every state */
}

/* Reads the clock, and learns from it how fast the counter is; 0 where there is no clock. */
static int
read_wall_clock(Ticks *self, int64_t *now)
{
    struct timespec time;
    uint64_t before = __rdtsc();
    if (clock_gettime(CLOCK_REALTIME, &time) != 0) {
        return 0;
    }
    uint64_t passed = __rdtsc() - before;
    *now = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    uint64_t ticks = before - self->measured_ticks;
    int64_t ns = *now - self->measured_ns;
    if (!ticks_are_steady || passed > TOGETHER_TICKS) { /* we were put aside in between: not to be relied upon */
        self->window = 0;
        self->measured_ns = INT64_MIN / 2;
        return 1;
    }
    if (ns < 0 || ns > MEASURE_NS_MAX || ticks == 0) { /* begin again */
        self->window = 0;
        self->measured_ticks = before;
        self->measured_ns = *now;
    } else if (ns >= MEASURE_NS_MIN) {
        uint64_t scale = ((uint64_t)ns << 32) / ticks;
        int is_plausible = scale >= SCALE_MIN && scale <= SCALE_MAX;
        self->scale = scale;
        self->window = is_plausible ? ((uint64_t)WINDOW_NS << 32) / scale : 0;
        self->measured_ticks = before;
        self->measured_ns = *now;
    }
    self->ticks = before;
    self->ns = *now;
    return 1;
}

static int
read_time(Ticks *self, int64_t *now)
{
    uint64_t passed = __rdtsc() - self->ticks; /* very many where it went back */
    if (passed < self->window) {
        *now = self->ns + (int64_t)(passed * self->scale >> 32);
        return 1;
    }
    return read_wall_clock(self, now);
}

#else

static int
is_tick_counter_steady(void)
{
    return 0;
}

static int
read_time(Ticks *Py_UNUSED(self), int64_t *now)
{
    struct timespec time;
    if (clock_gettime(CLOCK_REALTIME, &time) != 0) {
        return 0;
    }
    *now = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    return 1;
}

#endif

/* 1: the time in ns; 2: the same, and any Python code may have run; -1: an exception. */
static int
read_clock(Append *self, int64_t *now)
{
    if (self->is_time_ns && read_time(&self->ticks, now)) {
        return 1;
    }
    PyObject *clock = self->clock;
    Py_INCREF(clock);
    PyObject *told = PyObject_CallNoArgs(clock);
    Py_DECREF(clock);
    if (told == NULL) {
        return -1;
    }
    *now = PyLong_AsLongLong(told);
    Py_DECREF(told);
    return *now == -1 && PyErr_Occurred() ? -1 : 2;
}

static uint64_t
little_endian(uint64_t number)
{
#if PY_BIG_ENDIAN
    return __builtin_bswap64(number);
#else
    return number;
#endif
}

typedef struct {
    uint64_t bits; /* of the value */
    uint64_t key;  /* of name and kind */
} Metric;

/* Claims the next slots and writes them, each committed by its last store. */
static void
write_slots(Room *room, const Metric *metrics, Py_ssize_t count, int64_t step, int64_t now)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        char *slot = (char *)room->view.buf + room->next;
        room->next += SLOT_BYTES;
        uint64_t fields[3] = {
            little_endian((uint64_t)step), little_endian(metrics[i].bits), little_endian((uint64_t)now)};
        memcpy(slot, fields, sizeof fields);
        __atomic_store_n((uint64_t *)(void *)(slot + KEY_OFFSET), little_endian(metrics[i].key), __ATOMIC_RELEASE);
    }
}

static int
has_room(Room *room, Py_ssize_t count)
{
    return room->end - room->next >= count * SLOT_BYTES;
}

/* 1: recorded; 0: a case for the slow path, nothing claimed; -1: an exception, nothing claimed. */
static int
append(Append *self, PyObject *name, PyObject *value, PyObject *step)
{
    Metric metric;
    uint64_t kind;
    int64_t number, now;
    if (!read_value(value, &metric.bits, &kind) || !read_step(step, &number)) {
        return 0;
    }
    int found = find_key(self, name, &metric.key);
    if (found <= 0) {
        return found;
    }
    int told = read_clock(self, &now);
    if (told < 0) {
        return -1;
    }
    /* A clock in Python may have logged, and moved the segment on: look again. */
    if (told == 2 && (found = find_key(self, name, &metric.key)) <= 0) {
        return found;
    }
    if (!has_room(self->room, 1)) {
        return 0;
    }
    metric.key += kind;
    write_slots(self->room, &metric, 1, number, now);
    return 1;
}

/* The same of a dict of metrics with one time: all of them are read before the first is claimed. */
static int
append_all(Append *self, PyObject *metrics, PyObject *step)
{
    Metric read[METRICS_MAX];
    Py_ssize_t count = 0, place = 0;
    PyObject *name, *value, *names = self->names;
    int64_t number, now;
    if (PyDict_GET_SIZE(metrics) > METRICS_MAX || !self->is_time_ns || !read_step(step, &number)) {
        return 0;
    }
    while (PyDict_Next(metrics, &place, &name, &value)) {
        uint64_t kind;
        if (count == METRICS_MAX || !PyUnicode_CheckExact(name) || !read_value(value, &read[count].bits, &kind)) {
            return 0;
        }
        Py_INCREF(name);
        int found = find_key(self, name, &read[count].key);
        Py_DECREF(name);
        if (found <= 0) {
            return found;
        }
        read[count++].key += kind;
    }
    if (self->names != names || self->room == NULL || !has_room(self->room, count) || read_clock(self, &now) != 1) {
        return PyErr_Occurred() ? -1 : 0;
    }
    write_slots(self->room, read, count, number, now);
    return 1;
}

/* With a dict of metrics the second argument, if there is one, is the step. */
static int
append_given(Append *self, PyObject *const *given)
{
    if (given[3] != Py_None) {
        return 0;
    }
    if (!PyDict_CheckExact(given[0])) {
        return append(self, given[0], given[1], given[2]);
    }
    if (given[1] != Py_Ellipsis && given[2] != Py_None) {
        return 0;
    }
    return append_all(self, given[0], given[1] == Py_Ellipsis ? given[2] : given[1]);
}

static PyObject *
append_log(Append *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given[4] = {NULL, Py_Ellipsis, Py_None, Py_None};
    if (sort_arguments(given, args, count, keywords) < 0) {
        return NULL;
    }
    int recorded = append_given(self, given);
    if (recorded < 0) {
        return NULL;
    }
    if (recorded) {
        Py_RETURN_NONE;
    }
    PyObject *slow = self->slow;
    Py_INCREF(slow);
    PyObject *result = PyObject_Vectorcall(slow, given, 4, NULL);
    Py_DECREF(slow);
    return result;
}

/* -- Append's attributes ------------------------------------------------------------------------------------------ */

static int
refuse_deletion(PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "this attribute cannot be deleted");
    }
    return value == NULL ? -1 : 0;
}

static PyObject *
get_segment(Append *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->segment);
}

/* Nothing that is held here is anything but an exact str, so no code runs. */
static void
forget_names(Append *self)
{
    for (int i = 0; i < KNOWN_MAX; i++) {
        Py_CLEAR(self->known[i].name);
    }
}

/* Attributes of a segment are slots of its class, so no Python code runs between the two looks and the swap. */
static int
set_segment(Append *self, PyObject *segment, void *Py_UNUSED(closure))
{
    State *state = state_of(self);
    if (refuse_deletion(segment) < 0 || state == NULL) {
        return -1;
    }
    PyObject *names = PyObject_GetAttrString(segment, "names");
    PyObject *claim = names == NULL ? NULL : PyObject_GetAttrString(segment, "claim");
    if (claim == NULL) {
        Py_XDECREF(names);
        return -1;
    }
    if (!Py_IS_TYPE(claim, state->room_type) || !PyDict_CheckExact(names)) {
        Py_CLEAR(claim); /* a segment without room, or one of another implementation */
    }
    forget_names(self);
    PyObject *old[3] = {self->segment, self->names, (PyObject *)self->room};
    self->segment = Py_NewRef(segment);
    self->names = names;
    self->room = (Room *)claim;
    for (int i = 0; i < 3; i++) {
        Py_XDECREF(old[i]); /* after the swap: this may run Python code */
    }
    return 0;
}

static PyObject *
get_clock(Append *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->clock);
}

static int
set_clock(Append *self, PyObject *clock, void *Py_UNUSED(closure))
{
    State *state = state_of(self);
    if (refuse_deletion(clock) < 0 || state == NULL) {
        return -1;
    }
    self->is_time_ns = clock == state->time_ns;
    PyObject *old = self->clock;
    self->clock = Py_NewRef(clock);
    Py_XDECREF(old);
    return 0;
}

static PyObject *
get_slow(Append *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->slow);
}

static int
set_slow(Append *self, PyObject *slow, void *Py_UNUSED(closure))
{
    if (refuse_deletion(slow) < 0) {
        return -1;
    }
    PyObject *old = self->slow;
    self->slow = Py_NewRef(slow);
    Py_XDECREF(old);
    return 0;
}

/* None in every attribute, so that there is no moment at which one is NULL. */
static int
append_clear(Append *self)
{
    self->is_time_ns = 0;
    forget_names(self);
    Py_CLEAR(self->room);
    Py_CLEAR(self->names);
    PyObject **attributes[] = {&self->segment, &self->slow, &self->clock};
    for (int i = 0; i < 3; i++) {
        PyObject *old = *attributes[i];
        *attributes[i] = Py_NewRef(Py_None);
        Py_XDECREF(old);
    }
    return 0;
}

static PyObject *
append_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *parameters[] = {"segment", "slow", "clock", NULL};
    PyObject *segment, *slow, *clock;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOO:Append", parameters, &segment, &slow, &clock)) {
        return NULL;
    }
    Append *self = (Append *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    append_clear(self);
    if (set_segment(self, segment, NULL) < 0 || set_slow(self, slow, NULL) < 0 || set_clock(self, clock, NULL) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* -- Append's type ------------------------------------------------------------------------------------------------ */

static int
append_traverse(Append *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->segment);
    Py_VISIT(self->names);
    Py_VISIT(self->room);
    Py_VISIT(self->slow);
    Py_VISIT(self->clock);
    return 0;
}

static void
append_dealloc(Append *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    append_clear(self);
    Py_DECREF(self->segment);
    Py_DECREF(self->slow);
    Py_DECREF(self->clock);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef append_methods[] = {
    {"log", (PyCFunction)(void (*)(void))append_log, METH_FASTCALL | METH_KEYWORDS,
     "log($self, name, value=..., step=None, client=None)\n--\n\nRecord one metric; see Run.log."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef append_attributes[] = {
    {"segment", (getter)get_segment, (setter)set_segment, "Where records go.", NULL},
    {"slow", (getter)get_slow, (setter)set_slow, "What records everything that is not a fast case.", NULL},
    {"clock", (getter)get_clock, (setter)set_clock, "Stamps records, in ns.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot append_slots[] = {
    {Py_tp_doc, "What run.log is while the run is open: log, bound to one of these."},
    {Py_tp_new, append_new},
    {Py_tp_dealloc, append_dealloc},
    {Py_tp_traverse, append_traverse},
    {Py_tp_clear, append_clear},
    {Py_tp_methods, append_methods},
    {Py_tp_getset, append_attributes},
    {0, NULL},
};

static PyType_Spec append_spec = {
    .name = "steplog.journal._append.Append",
    .basicsize = sizeof(Append),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = append_slots,
};

/* -- the module --------------------------------------------------------------------------------------------------- */

static int
module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    ticks_are_steady = is_tick_counter_steady();
    PyObject *time = PyImport_ImportModule("time");
    if (time == NULL) {
        return -1;
    }
    state->time_ns = PyObject_GetAttrString(time, "time_ns");
    Py_DECREF(time);
    state->room_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &room_spec, NULL);
    PyObject *append_type = PyType_FromModuleAndSpec(module, &append_spec, NULL);
    int failed = state->time_ns == NULL || state->room_type == NULL || append_type == NULL
                 || PyModule_AddType(module, state->room_type) < 0
                 || PyModule_AddType(module, (PyTypeObject *)append_type) < 0;
    Py_XDECREF(append_type);
    return failed ? -1 : 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->room_type);
    Py_VISIT(state->time_ns);
    return 0;
}

static int
module_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->room_type);
    Py_CLEAR(state->time_ns);
    return 0;
}

static void
module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "steplog.journal._append",
    .m_doc = "The compiled append; see compiled.py.",
    .m_size = sizeof(State),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__append(void)
{
    return PyModuleDef_Init(&module);
}
