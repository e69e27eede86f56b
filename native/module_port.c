/* Port: a UDP socket that many legs share, as a Python object. */
#include "module.h"

struct port_object {
    PyObject_HEAD
    engine_object *engine;
    mm_port *port;
    PyObject *peers; /* tuple of those that routes lead to: alive as long as the routes */
    int closed;
};

PyObject *mm_port_object_new(PyTypeObject *type, engine_object *engine, PyObject *args,
                             PyObject *kwargs) {
    static char *names[] = {"host", "port", NULL};
    const char *host;
    unsigned int number = 0;
    mm_address bind;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s|I:open_port", names, &host, &number))
        return NULL;
    if (number > 65535 || mm_address_parse(&bind, host, number) < 0)
        return PyErr_Format(PyExc_ValueError,
                            "expected an IPv4 or IPv6 address and a port to 65535, got '%s' and %u", host,
                            number);
    port_object *self = (port_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->engine = (engine_object *)Py_NewRef((PyObject *)engine);
    self->port = mm_port_open(&bind);
    self->closed = 1;
    int error = self->port ? 0 : errno;
    if (!error) error = mm_packet_thread_add(mm_engine_packet_thread(engine->engine), self->port);
    if (!error) {
        self->closed = 0;
        return (PyObject *)self;
    }
    Py_DECREF(self);
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static void drop_routes(port_object *self) {
    mm_engine_retire(self->engine->engine, mm_port_set_routes(self->port, NULL), mm_routes_destroy);
    Py_CLEAR(self->peers);
}

static void close_port(port_object *self) {
    if (self->closed) return;
    self->closed = 1;
    mm_packet_thread_remove(mm_engine_packet_thread(self->engine->engine), self->port);
    drop_routes(self);
    /* Without a descriptor to spare, the address is free once the last peer that is sent through it has gone. */
    (void)mm_port_release_address(self->port);
}

static void port_dealloc(PyObject *object) {
    port_object *self = (port_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    close_port(self);
    if (self->port) mm_engine_retire(self->engine->engine, self->port, mm_port_destroy);
    Py_XDECREF((PyObject *)self->engine);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static int check_open(const port_object *self) {
    if (!self->closed) return 0;
    PyErr_SetString(PyExc_RuntimeError, "the port is closed");
    return -1;
}

static int read_address(const char *host, unsigned number, mm_address *address) {
    if (number > 0 && number <= 65535 && mm_address_parse(address, host, number) == 0) return 0;
    PyErr_Format(PyExc_ValueError, "expected an IPv4 or IPv6 address and a port, got '%s' and %u", host,
                 number);
    return -1;
}

mm_destination *mm_port_destination(port_object *self, const engine_object *engine, const char *host,
                                    unsigned port_number) {
    mm_address address, own;
    if (self->engine != engine) {
        PyErr_SetString(PyExc_ValueError, "expected a port of the peer's own engine");
        return NULL;
    }
    if (check_open(self) < 0 || read_address(host, port_number, &address) < 0) return NULL;
    mm_port_address(self->port, &own);
    if (own.is_ipv6 != address.is_ipv6) {
        PyErr_Format(PyExc_ValueError, "expected an address of the port's own family, got '%s'", host);
        return NULL;
    }
    mm_destination *destination = malloc(sizeof *destination);
    if (!destination) {
        PyErr_NoMemory();
        return NULL;
    }
    destination->fd = mm_port_fd(self->port);
    destination->to_bytes = mm_address_to_socket(&address, &destination->to);
    return destination;
}

static int read_route(const module_state *state, const engine_object *engine, PyObject *item,
                      mm_route *route) {
    const char *host;
    unsigned int number;
    PyObject *peer;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "expected tuples of host, port and peer");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "sIO:set_routes", &host, &number, &peer)) return -1;
    if (Py_TYPE(peer) != state->peer_type) {
        PyErr_SetString(PyExc_TypeError, "expected a peer");
        return -1;
    }
    if (((peer_object *)peer)->engine != engine) {
        PyErr_SetString(PyExc_ValueError, "expected a peer of the port's own engine");
        return -1;
    }
    route->peer = ((peer_object *)peer)->peer;
    return read_address(host, number, &route->address);
}

static PyObject *port_set_routes(PyObject *object, PyObject *arg) {
    port_object *self = (port_object *)object;
    const module_state *state = mm_type_state(Py_TYPE(object));
    PyObject *items = state ? PySequence_Tuple(arg) : NULL;
    if (!items) return NULL;
    const Py_ssize_t count = PyTuple_Size(items);
    mm_route *route = calloc((size_t)count + 1, sizeof *route);
    PyObject *peers = PyTuple_New(count);
    int failed = !route || !peers;
    if (failed) PyErr_NoMemory();
    for (Py_ssize_t i = 0; !failed && i < count; i++) {
        PyObject *item = PyTuple_GetItem(items, i);
        failed = read_route(state, self->engine, item, &route[i]) < 0 ||
                 PyTuple_SetItem(peers, i, Py_NewRef(PyTuple_GetItem(item, 2))) < 0;
    }
    failed = failed || check_open(self) < 0;
    mm_routes *routes = failed ? NULL : mm_routes_create(route, (size_t)count);
    if (!failed && !routes) PyErr_NoMemory();
    free(route);
    Py_DECREF(items);
    if (!routes) {
        Py_XDECREF(peers);
        return NULL;
    }
    mm_engine_retire(self->engine->engine, mm_port_set_routes(self->port, routes), mm_routes_destroy);
    PyObject *before = self->peers;
    self->peers = peers; /* those before are retired after the routes that led to them */
    Py_XDECREF(before);
    return Py_NewRef(Py_None);
}

static PyObject *port_tell_strangers(PyObject *object, PyObject *arg) {
    port_object *self = (port_object *)object;
    const int on = PyObject_IsTrue(arg);
    if (on < 0) return NULL;
    mm_port_tell_strangers(self->port, on);
    return Py_NewRef(Py_None);
}

static PyObject *port_read(PyObject *object, PyObject *unused) {
    (void)unused;
    port_object *self = (port_object *)object;
    enum mm_datagram_kind kind;
    mm_address from;
    uint8_t bytes[MM_PORT_BYTES];
    char host[MM_ADDRESS_TEXT];
    size_t size;
    int64_t arrival_ns;
    if (!mm_port_read(self->port, &kind, &from, bytes, &size, &arrival_ns)) return Py_NewRef(Py_None);
    if (mm_address_format(&from, host, sizeof host) < 0) {
        PyErr_SetString(PyExc_RuntimeError, "an address does not fit its text");
        return NULL;
    }
    return Py_BuildValue("IsIy#L", (unsigned)kind, host, (unsigned)from.port, (char *)bytes,
                         (Py_ssize_t)size, (long long)arrival_ns);
}

static PyObject *port_send(PyObject *object, PyObject *args) {
    port_object *self = (port_object *)object;
    Py_buffer data;
    const char *host;
    unsigned int number;
    mm_address to;
    if (!PyArg_ParseTuple(args, "y*sI:send", &data, &host, &number)) return NULL;
    int result = -1;
    if (check_open(self) == 0 && read_address(host, number, &to) == 0)
        result = mm_port_send(self->port, &to, data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(result == 0);
}

static PyObject *port_fileno(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(mm_port_eventfd(((port_object *)object)->port));
}

static PyObject *port_close(PyObject *object, PyObject *unused) {
    (void)unused;
    close_port((port_object *)object);
    return Py_NewRef(Py_None);
}

static PyObject *port_counters(PyObject *object, PyObject *unused) {
    (void)unused;
    const mm_port *port = ((port_object *)object)->port;
    PyObject *counters = PyDict_New();
    for (int i = 0; counters && i < MM_PORT_COUNTERS; i++) {
        const enum mm_port_counter which = (enum mm_port_counter)i;
        if (mm_put_count(counters, mm_port_counter_name(which), mm_port_count(port, which)) < 0)
            Py_CLEAR(counters);
    }
    return counters;
}

static PyObject *port_address(PyObject *object, void *unused) {
    (void)unused;
    mm_address address;
    char host[MM_ADDRESS_TEXT];
    mm_port_address(((port_object *)object)->port, &address);
    if (mm_address_format(&address, host, sizeof host) < 0) {
        PyErr_SetString(PyExc_RuntimeError, "an address does not fit its text");
        return NULL;
    }
    return Py_BuildValue("sI", host, (unsigned)address.port);
}

static PyMethodDef methods[] = {
    {"set_routes", port_set_routes, METH_O,
     "Say whose datagrams those of each address are: (host, port, peer) of all."},
    {"tell_strangers", port_tell_strangers, METH_O, "Whether media without a route can be read."},
    {"read", port_read, METH_NOARGS, "(kind, host, port, bytes, arrival in ns), or None."},
    {"send", port_send, METH_VARARGS, "Send a datagram now; False when the socket did not take it."},
    {"fileno", port_fileno, METH_NOARGS, "An eventfd, readable when there is something to read."},
    {"close", port_close, METH_NOARGS, "Read and send no more; the address is free again."},
    {"counters", port_counters, METH_NOARGS, "What came, by what became of it."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef members[] = {{"address", port_address, NULL, "Host and port, as bound.", NULL},
                                {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_dealloc, port_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_getset, members},
                              {Py_tp_doc, "A UDP socket that many legs share."},
                              {0, NULL}};

PyType_Spec mm_port_spec = {
    .name = "mixminus.media._native.Port",
    .basicsize = sizeof(port_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots};
