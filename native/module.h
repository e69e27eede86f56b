/* What the parts of the Python module share. Only module*.c include this, and so Python.h. */
#ifndef MM_MODULE_H
#define MM_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "mix.h"
#include "ring.h"

typedef struct module_state {
    mm_isa isa;
    PyTypeObject *ring_type, *engine_type, *bridge_type, *leg_type;
} module_state;

module_state *mm_module_state(PyObject *module);
/* NULL with an exception: no state behind an object of ours is a bug. */
module_state *mm_type_state(PyTypeObject *type);

extern PyType_Spec mm_ring_spec, mm_engine_spec, mm_bridge_spec, mm_leg_spec;
extern PyMethodDef mm_mix_methods[];

typedef struct engine_object {
    PyObject_HEAD
    mm_engine *engine;
    mm_bridge **bridges; /* who is in the roster, as the control side sees it */
    size_t bridge_count;
    mm_roster *roster;
} engine_object;

/* Wait, without the GIL, until a command fits. Call before building what will be submitted, so that
 * nothing comes between the two. -1 and RuntimeError when the tick thread does not get on. */
int mm_engine_wait_for_room(engine_object *self);
/* Put *bridge* in (or, with *leave*, take it out of) what is ticked. -1 and an exception on failure. */
int mm_engine_enrol(engine_object *self, mm_bridge *bridge, int leave);
PyObject *mm_bridge_object_new(PyTypeObject *type, engine_object *engine);

/* A Python view of *ring*, which lives as long as *owner* does. */
PyObject *mm_ring_view(PyTypeObject *ring_type, mm_ring *ring, PyObject *owner);
/* 0 and an exception when *value* is not a power of two in [2, 4096]. */
int mm_check_slots(const char *name, unsigned int value);

#endif
