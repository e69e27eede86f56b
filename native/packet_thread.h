/* The thread that reads all ports of an engine: epoll, batches, peers.
 *
 * What it may touch (ports, their routes, peers) is freed only after it has passed a command that was submitted
 * when that thing could no longer be found: remove the port or publish the routes, submit, wake, and free once the command
 * is done. Commands are carried out before it looks for the next events, never between finding and reading a port.
 */
#ifndef MM_PACKET_THREAD_H
#define MM_PACKET_THREAD_H

#include "command.h"
#include "port.h"
#include "schedule.h"

typedef struct mm_packet_thread mm_packet_thread;

/* Control side. NULL with errno. */
mm_packet_thread *mm_packet_thread_create(void);
/* Stopped first. The ports stay their owner's. */
void mm_packet_thread_destroy(mm_packet_thread *t);

/* 0, or errno. */
int mm_packet_thread_start(mm_packet_thread *t);
/* Carries out what was submitted until now. */
void mm_packet_thread_stop(mm_packet_thread *t);
mm_scheduling mm_packet_thread_scheduling(const mm_packet_thread *t);
/* Processor time of the thread that runs; 0: none does. Any thread. */
int64_t mm_packet_thread_cpu_ns(const mm_packet_thread *t);

/* Running or not. 0, or errno. */
int mm_packet_thread_add(mm_packet_thread *t, mm_port *port);
/* It may be in the port until the next command submitted is done. */
void mm_packet_thread_remove(mm_packet_thread *t, mm_port *port);

mm_commands *mm_packet_thread_commands(mm_packet_thread *t);
/* After submitting: without it, the command waits for the next datagram. */
void mm_packet_thread_wake(mm_packet_thread *t);

#endif
