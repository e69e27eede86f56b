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
    PyTypeObject *ring_type, *engine_type, *bridge_type, *leg_type, *peer_type, *port_type,
        *tap_type, *insert_type, *watchdog_type;
} module_state;

module_state *mm_module_state(PyObject *module);
/* NULL with an exception: no state behind an object of ours is a bug. */
module_state *mm_type_state(PyTypeObject *type);

extern PyType_Spec mm_ring_spec, mm_engine_spec, mm_bridge_spec, mm_leg_spec, mm_peer_spec, mm_port_spec,
    mm_tap_spec, mm_insert_spec, mm_watchdog_spec;
extern PyMethodDef mm_mix_methods[], mm_library_methods[];

/* The bridges of one tick thread, as the control side sees them. */
typedef struct engine_lane {
    mm_bridge **bridges;
    size_t bridge_count, legs;
    mm_roster *roster;
} engine_lane;

typedef struct engine_object {
    PyObject_HEAD
    mm_engine *engine;
    engine_lane lane[MM_ENGINE_TICK_THREADS];
} engine_object;

typedef struct port_object port_object;
typedef struct leg_object leg_object;

typedef struct peer_object {
    PyObject_HEAD
    engine_object *engine;
    mm_peer *peer;
    leg_object *leg;           /* that has it, and then holds a reference; borrowed */
    port_object *destination;  /* whose socket it is sent through */
} peer_object;

typedef struct bridge_object bridge_object;

typedef struct tap_object {
    PyObject_HEAD
    engine_object *engine;
    leg_object *leg; /* that has it, and then holds a reference; borrowed */
    uint32_t source_id;
    mm_ring *ring;
} tap_object;

typedef struct insert_object {
    PyObject_HEAD
    engine_object *engine;
    leg_object *leg; /* as a tap's */
    mm_insert *insert;
} insert_object;

struct leg_object {
    PyObject_HEAD
    engine_object *engine;
    mm_leg *leg;
    bridge_object *bridge; /* NULL: taken out; borrowed */
    PyObject *sources;     /* NULL: hears all others; else a tuple of legs */
    peer_object *peer;
    tap_object *tap[MM_TAPS]; /* NULL where there is none */
    insert_object *insert[MM_DIRECTIONS];
    size_t row;            /* in the plan being built */
};

/* Wait, without the GIL, until a command to that tick thread fits. Call before building what will be submitted,
 * so that nothing comes between the two. -1 and RuntimeError when the tick thread does not get on. */
int mm_engine_wait_for_room(engine_object *self, uint32_t lane);
/* Where a new bridge should live. */
uint32_t mm_engine_least_lane(const engine_object *self);
/* Put *bridge* in (or, with *leave*, take it out of) what is ticked. -1 and an exception on failure. */
int mm_engine_enrol(engine_object *self, uint32_t lane, mm_bridge *bridge, int leave);

PyObject *mm_bridge_object_new(PyTypeObject *type, engine_object *engine);
/* NULL in leg: the peer is nobody's from now on. -1 and an exception: nothing has changed. */
int mm_bridge_attach(leg_object *leg, peer_object *peer);
/* Wait until commands about *leg* fit. -1 and RuntimeError when it is in no bridge (any more). */
int mm_bridge_wait_for_leg(leg_object *leg);
/* To the tick thread of *leg*, which is in a bridge; the caller has waited. */
void mm_bridge_command(const leg_object *leg, mm_apply apply, void *target, void *value);

/* The same for an insert that joins or leaves. */
void mm_bridge_command_insert(const leg_object *leg, mm_insert *insert, int joins);

PyObject *mm_insert_object_new(PyTypeObject *type, leg_object *leg, enum mm_direction direction,
                               unsigned int slots);
/* The leg lets go of it; its tick thread was told, or has let go of the leg. */
void mm_insert_part(insert_object *insert);
PyObject *mm_tap_object_new(PyTypeObject *type, leg_object *leg, unsigned int slots);
/* The leg lets go of it: *command* tells the tick thread, unless it has let go of the leg. */
void mm_tap_part(tap_object *tap, int command);

PyObject *mm_peer_object_new(PyTypeObject *type, engine_object *engine, PyObject *args, PyObject *kwargs);
PyObject *mm_port_object_new(PyTypeObject *type, engine_object *engine, PyObject *args, PyObject *kwargs);
/* Where that address is reached through the port, which is *engine*'s: malloc's, or NULL with an exception. What two
 * engines share, one would free while the other's threads use it. */
mm_destination *mm_port_destination(port_object *port, const engine_object *engine, const char *host,
                                    unsigned port_number);

/* NULL until bind_srtp. */
const mm_srtp_library *mm_bound_srtp(void);

/* A Python view of *ring*, which lives as long as *owner* does. */
PyObject *mm_ring_view(PyTypeObject *ring_type, mm_ring *ring, PyObject *owner);
/* 0 and an exception when *value* is not a power of two in [2, 4096]. */
int mm_check_slots(const char *name, unsigned long value);
/* Speakers of a Python sequence into *meta*; the first MM_SPEAKERS. -1 and an exception. */
int mm_read_speakers(PyObject *sequence, mm_meta *meta);
/* Put *value* into *dict* under *name*. -1 and an exception. */
int mm_put_count(PyObject *dict, const char *name, uint64_t value);

#endif
