/* tests/models/slots.pml -- backends/session_calls.c and session_frames.c: one slot, used again and again.
 *
 * A call may be cancelled at any moment; its caller is told at the latest when the moment of grace is
 * over, but the slot is given to another call only after the worker's FINAL: until then it is a zombie.
 * The worker is slow, may end the call before or after the CANCEL reaches it, and, when it is
 * dishonest, says frames of earlier generations again.  The connection may be lost at any moment.
 *
 * A frame carries the call that the worker says it for, which the gateway cannot see: it is what
 * a tenant would read.
 *
 * Checked: no frame reaches another call than its own; each call ends once, whatever happens; the worker
 * is never given a slot that it still has; at the end every call has ended and the slot is free.
 *
 * MUTANTS: GENERATION_UNCHECKED ZOMBIE_GONE END_TWICE LOSS_UNTOLD CHANNEL_KEPT
 */
#define CALLS    3
#define SESSIONS 2

mtype = { REQUEST, CANCEL, DATA, FINAL }
mtype = { FREE, RUNS, CANCELLED, ZOMBIE }

chan to_worker = [3] of { mtype, byte, byte };  /* kind, generation, call */
chan to_gate = [3] of { mtype, byte, byte };

mtype slot = FREE;
byte gen, call;          /* of the slot's present use */
byte ended[CALLS + 1];
byte session = 1;
bool lost;               /* the connection; the gateway has seen it */
bool worker_left, over;

inline end_call(after)
{
    ended[call]++;
    assert(ended[call] == 1);
    slot = after
}

/* What the gateway makes of a frame.  A frame that breaks the protocol loses the connection. */
inline judge(kind, g, tenant)
{
    if
#ifndef GENERATION_UNCHECKED
    :: g < gen -> skip /* late: dropped */
    :: g > gen -> lost = true
    :: g == gen && slot == FREE -> lost = true
    :: g == gen && slot != FREE ->
#else
    :: slot == FREE -> lost = true
    :: slot != FREE ->
#endif
        if
        :: kind == DATA && slot == RUNS -> assert(tenant == call)
        :: kind == DATA && slot != RUNS
        :: kind == FINAL && slot == ZOMBIE ->
#ifdef END_TWICE
            ended[call]++; assert(ended[call] == 1);
#endif
            slot = FREE
        :: kind == FINAL && slot != ZOMBIE -> assert(tenant == call); end_call(FREE)
        fi
    fi
}

inline lose()
{
#ifndef LOSS_UNTOLD
    if
    :: slot == RUNS || slot == CANCELLED -> end_call(FREE)
    :: else -> slot = FREE
    fi
#else
    slot = FREE
#endif
}

active proctype Gateway()
{
    byte started, g, tenant;
    mtype kind;
    do
    :: !lost && slot == FREE && started < CALLS && nfull(to_worker) ->
        d_step { started++; gen++; call = started; slot = RUNS };
        to_worker ! REQUEST, gen, call
    :: !lost && slot == RUNS -> /* the client leaves, or a deadline passes */
        slot = CANCELLED;
        if
        :: full(to_worker) /* it will be sent later, or FINAL comes first; here: never */
        :: nfull(to_worker) -> to_worker ! CANCEL, gen, call
        fi
    :: atomic { !lost && slot == CANCELLED -> /* the moment of grace is over */
#ifdef ZOMBIE_GONE
        end_call(FREE)
#else
        end_call(ZOMBIE)
#endif
        }
    :: atomic { !lost && nempty(to_gate) -> to_gate ? kind, g, tenant; judge(kind, g, tenant) }
    :: !lost && session < SESSIONS -> lost = true /* it dies, or its socket closes */
    :: lost && worker_left ->
        atomic {
            lose();
#ifndef CHANNEL_KEPT
            do
            :: to_gate ? kind, g, tenant
            :: empty(to_gate) -> break
            od;
            do
            :: to_worker ? kind, g, tenant
            :: empty(to_worker) -> break
            od;
#endif
            if
            :: session < SESSIONS -> session++; lost = false; worker_left = false
            :: else -> break
            fi
        }
    :: !lost && slot == FREE && started == CALLS && empty(to_gate) -> break
    od;
    over = true;
    for (g : 1 .. started) {
        assert(ended[g] == 1)
    }
    assert(slot == FREE)
}

/* One life of the worker for each session.  What it has in its one slot is `mine`. */
active proctype Worker()
{
    byte mine, tenant, g, c, said, last_gen, last_call;
    bool has, dishonest;
    mtype kind;
end:
    do
    :: over -> break
    :: atomic { !lost && nempty(to_worker) -> to_worker ? kind, g, c };
        if
        :: kind == REQUEST ->
            assert(!has); /* a slot that it still has is not given out again */
            d_step { has = true; mine = g; tenant = c; said = 0 }
        :: kind == CANCEL && has && g == mine -> said = 2 /* FINAL is next */
        :: else -> skip /* it has ended already */
        fi
    :: !lost && has && said < 2 && nfull(to_gate) -> said++; to_gate ! DATA, mine, tenant
    :: !lost && has && nfull(to_gate) -> /* done, or told to stop */
        to_gate ! FINAL, mine, tenant;
        d_step { has = false; last_gen = mine; last_call = tenant; mine = 0; tenant = 0; said = 0 }
    :: !lost && last_gen && !dishonest && nfull(to_gate) -> /* a lie, once: an old frame again */
        dishonest = true;
        if
        :: to_gate ! DATA, last_gen, last_call
        :: to_gate ! FINAL, last_gen, last_call
        fi
    :: lost && !worker_left ->
        d_step { has = false; mine = 0; tenant = 0; said = 0; worker_left = true }
    od
}
