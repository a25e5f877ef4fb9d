/* tests/models/ring.pml -- backends/ring.h and ring_wake.h: one ring, both its ends, any of them may die.
 *
 * The writer puts MESSAGES frames into a ring of ROOM, the reader takes them; each sleeps when it has
 * nothing to do and is woken by a doorbell that it was promised when it armed.  A process may die
 * between any two of its steps; the other sees the socket close, takes in what was published
 * before, and both begin again with fresh memory.
 *
 * Stores become visible late, in the order in which they were made, as x86 may do it (a store
 * buffer each); a load never waits for them unless a fence says so.
 *
 * Checked: a frame is read once, in order, whole, in the session it was written in and never when
 * it was overwritten; nobody sleeps for ever; what was published before a death is read.
 *
 * MUTANTS: W_BELL_FENCE_GONE R_BELL_FENCE_GONE W_ARM_FENCE_GONE R_ARM_FENCE_GONE RECHECK_GONE
 * MUTANTS: COUNT_GONE TAIL_BEFORE_DATA ROOM_UNCHECKED ROOM_UNTOLD HEAD_BEFORE_READ MEMORY_KEPT
 * MUTANTS: LAST_WORDS_LOST HANGUP_UNSEEN
 */
#ifndef MESSAGES
#define MESSAGES 3
#endif
#define ROOM     2
#ifndef SESSIONS
#ifndef SESSIONS
#ifndef SESSIONS
#define SESSIONS 2
#endif
#endif
#endif

#define ARMED 1 /* about to sleep */
#define WANTS 2 /* also waits for room */
#define STEP  4 /* the count above the flags */

/* ---- memory ---- */
mtype = { TAIL, HEAD, W_ARMED, R_ARMED, DATA }
byte tail, head, w_armed, r_armed; /* as everybody sees them */
byte slot[ROOM];
chan w_stores = [4] of { mtype, byte, byte }; /* made, not yet visible */
chan r_stores = [4] of { mtype, byte, byte };

bool w_bell, r_bell;   /* a doorbell lies in the socket of */
bool w_dies, r_dies;   /* will die now */
bool w_dead, r_dead;   /* has died: its socket is closed, all it stored is visible */
bool w_done, r_done;   /* has left this session */
byte session = 1;
byte written;          /* frames whose publication the writer has finished, in this session */
bool died;

#define fence(stores) empty(stores)
#define tag(n) ((session * 16) + (n) + 1)

inline apply(what, at, value)
{
    if
    :: what == TAIL    -> tail = value
    :: what == HEAD    -> head = value
    :: what == W_ARMED -> w_armed = value
    :: what == R_ARMED -> r_armed = value
    :: what == DATA    -> slot[at] = value
    fi
}

active proctype Memory()
{
    mtype what; byte at, value;
end:
    do
    :: d_step { w_stores ? what, at, value -> apply(what, at, value) }
    :: d_step { r_stores ? what, at, value -> apply(what, at, value) }
    od
}

/* ---- the writer ---- */

inline w_ring()
{
    if
    :: n != n_rung ->
        n_rung = n;
#ifndef W_BELL_FENCE_GONE
        fence(w_stores);
#endif
        seen = r_armed;
        if
        :: (seen & ARMED) && seen != rung -> rung = seen; r_bell = true
        :: else
        fi
    :: else
    fi
}

inline w_put()
{
    d_step { i = n % ROOM };
#ifdef TAIL_BEFORE_DATA
    w_stores ! TAIL, 0, n + 1;
    w_stores ! DATA, i, tag(n);
#else
    w_stores ! DATA, i, tag(n);
    w_stores ! TAIL, 0, n + 1;
#endif
    d_step { n++; written = n }
}

/* The reader is asked to ring for room; then the room is looked at once more. */
inline w_sleep()
{
    d_step { armed = ((armed & ~3) + STEP) | ARMED | WANTS };
#ifdef COUNT_GONE
    armed = ARMED | WANTS;
#endif
    w_stores ! W_ARMED, 0, armed;
#ifndef W_ARM_FENCE_GONE
    fence(w_stores);
#endif
#ifndef RECHECK_GONE
    if
    :: head != known -> skip
    :: head == known ->
#endif
#ifdef HANGUP_UNSEEN
        w_bell; w_bell = false
#else
        if
        :: w_bell -> w_bell = false
        :: r_dead -> gone = true
        fi
#endif
#ifndef RECHECK_GONE
    fi
#endif
    ;
    armed = armed & ~3;
    w_stores ! W_ARMED, 0, armed
}

proctype Writer()
{
    byte n, n_rung, known, seen, rung, armed, i;
    bool gone;
    {
        do
        :: n < MESSAGES && !gone ->
            known = head;
            if
#ifdef ROOM_UNCHECKED
            :: true ->
#else
            :: n - known < ROOM ->
#endif
                w_put();
                if
                :: skip /* more of the same turn goes with one bell */
                :: w_ring()
                fi
            :: n - known >= ROOM ->
                w_ring();
                w_sleep()
            fi
        :: else -> break
        od;
        w_ring()
    } unless { w_dies };
    empty(w_stores);
    d_step { w_dead = w_dies; w_done = true }
}

/* ---- the reader ---- */

inline r_take()
{
#ifdef HEAD_BEFORE_READ
    r_stores ! HEAD, 0, n + 1;
    fence(r_stores);
#endif
    value = slot[n % ROOM];
    assert(value == tag(n));
    n++
}

/* Tells how far it has read, and rings when the writer waits for that. */
inline r_release()
{
    if
    :: n != n_told ->
        n_told = n;
        r_stores ! HEAD, 0, n;
#ifndef R_BELL_FENCE_GONE
        fence(r_stores);
#endif
        seen = w_armed;
        if
#ifndef ROOM_UNTOLD
        :: (seen & ARMED) && (seen & WANTS) && seen != rung -> rung = seen; w_bell = true
#endif
        :: else
        fi
    :: else
    fi
}

inline r_sleep()
{
    d_step { armed = ((armed & ~3) + STEP) | ARMED };
#ifdef COUNT_GONE
    armed = ARMED;
#endif
    r_stores ! R_ARMED, 0, armed;
#ifndef R_ARM_FENCE_GONE
    fence(r_stores);
#endif
#ifndef RECHECK_GONE
    if
    :: tail != n -> skip
    :: tail == n ->
#endif
        if
        :: r_bell -> r_bell = false
#ifndef HANGUP_UNSEEN
        :: w_dead -> gone = true
#endif
        fi
#ifndef RECHECK_GONE
    fi
#endif
    ;
    armed = armed & ~3;
    r_stores ! R_ARMED, 0, armed
}

proctype Reader()
{
    byte n, n_told, seen, rung, armed, value, end;
    bool gone;
    {
        do
        :: n == MESSAGES || gone -> break
        :: n < MESSAGES && !gone ->
            end = tail;
            if
            :: end != n ->
                r_take();
                if
                :: skip
                :: r_release()
                fi
            :: end == n ->
                r_release();
                r_sleep()
            fi
        od;
#ifndef LAST_WORDS_LOST
        do
        :: gone && tail != n -> r_take()
        :: else -> break
        od;
#endif
        r_release();
        assert(n == MESSAGES || (gone && n == tail))
    } unless { r_dies };
    empty(r_stores);
    d_step { r_dead = r_dies; r_done = true }
}

/* ---- sessions: at most one death in each but the last ---- */

inline fresh_memory()
{
    d_step {
#ifndef MEMORY_KEPT
        tail = 0; head = 0; w_armed = 0; r_armed = 0; slot[0] = 0; slot[1] = 0;
#endif
        w_bell = false; r_bell = false; w_dies = false; r_dies = false; w_dead = false; r_dead = false;
        w_done = false; r_done = false; written = 0; died = false
    }
}

init
{
    do
    :: atomic { run Writer(); run Reader() };
        if
        :: session < SESSIONS ->
            if
            :: d_step { !w_done -> w_dies = true; died = true }
            :: d_step { !r_done -> r_dies = true; died = true }
            :: skip
            fi
        :: else
        fi;
        w_done && r_done && empty(w_stores) && empty(r_stores);
        assert(died || head == MESSAGES);
        if
        :: died -> session++; fresh_memory()
        :: else -> break
        fi
    od
}
