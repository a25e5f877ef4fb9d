/* tests/models/ledger.pml -- billing/ledger.c, books.c, recover.c: hold, settle, and a crash anywhere.
 *
 * Each request holds HOLD of a budget of BUDGET, is worked on, settles any part of it and is answered. The
 * ledger takes what has gathered as one batch and commits it: that may succeed, find the disk full (the
 * batch is rolled back, its settlements are tried again) or fail for good (whether it is on disk is
 * not known, and nothing more is written until the next start). The daemon may die at any moment, also
 * while it recovers; what is not on disk is gone then.
 *
 * Checked: no backend works before the hold is on disk; no answer leaves before its bill is; nobody is
 * billed twice; what is held and spent never exceeds the budget, and is in memory what it is on disk; at
 * last every hold has its bill.
 *
 * MUTANTS: WORK_BEFORE_HOLD ANSWER_BEFORE_COMMIT HELD_UNCHECKED UNDO_GONE SETTLEMENT_DROPPED LOSS_RETRIED
 * MUTANTS: RECOVER_ALL FLOOR_EARLY RECOVERY_TORN BUDGET_FORGOTTEN
 */
#define REQUESTS 2
#define BUDGET   3
#define HOLD     2
#define CRASHES  2

mtype = { HELD, SETTLED }                         /* operations */
mtype = { NONE, ORPHAN, PAID }                    /* bills */
mtype = { ASKED, DONE, REFUSED, FAILED }          /* answers of the ledger */

/* ---- the disk ---- */
bool open[REQUESTS + 1];
mtype bill[REQUESTS + 1] = NONE;
byte bills[REQUESTS + 1];
byte floor = 1; /* every request below it has its bill */

/* ---- what clients and backends know ---- */
bool begun[REQUESTS + 1], delivered[REQUESTS + 1];
byte cost[REQUESTS + 1]; /* what the work has cost: what is billed */

/* ---- memory: gone with the daemon ---- */
chan queue = [REQUESTS] of { mtype, byte };
mtype answer[REQUESTS + 1];
mtype batch[REQUESTS + 1]; /* what it holds of each request */
bool unsettled[REQUESTS + 1];
byte held, spent, top;
byte running; /* processes of this life */
bool lost, dead, stop;
byte crashes, fulls;
hidden byte i; /* of loops that are one step */

inline insert_bill(r, what)
{
    bill[r] = what;
    bills[r]++;
    assert(bills[r] == 1) /* a primary key */
}

/* ---- a request ---- */

proctype Request(byte r)
{
    {
#ifdef WORK_BEFORE_HOLD
        assert(open[r]);
#endif
        d_step { answer[r] = ASKED; queue ! HELD, r };
        answer[r] != ASKED;
        if
        :: answer[r] == DONE ->
            assert(open[r]); /* the backend works */
            if :: cost[r] = 1 :: cost[r] = HOLD fi;
            d_step { answer[r] = ASKED; queue ! SETTLED, r };
            answer[r] != ASKED;
            if
            :: answer[r] == DONE -> delivered[r] = true
            :: else /* the client is told that it failed; the next start settles it */
            fi
        :: else
        fi
    } unless { dead };
    running--
}

/* ---- the ledger's thread ---- */

#ifdef HELD_UNCHECKED
#define fits (spent + HOLD <= BUDGET)
#else
#define fits (spent + held + HOLD <= BUDGET)
#endif

inline apply(kind, r)
{
    if
    :: kind == HELD && !fits -> answer[r] = REFUSED
    :: kind == HELD && fits -> held = held + HOLD; unsettled[r] = true; batch[r] = HELD
    :: kind == SETTLED ->
        held = held - HOLD; spent = spent + cost[r]; unsettled[r] = false; batch[r] = SETTLED
    fi;
    top = (r > top -> r : top);
#ifdef ANSWER_BEFORE_COMMIT
    answer[r] = (batch[r] == NONE -> answer[r] : DONE)
#endif
}

inline answer_batch(what)
{
    for (i : 1 .. REQUESTS) {
        if
        :: batch[i] != NONE -> answer[i] = what; batch[i] = NONE
        :: else
        fi
    }
}

inline write_rows()
{
    for (i : 1 .. REQUESTS) {
        if
        :: batch[i] == HELD -> open[i] = true
        :: batch[i] == SETTLED -> insert_bill(i, PAID)
        :: else
        fi
    }
    i = 1;
    do
#ifndef FLOOR_EARLY
    :: i <= top && !unsettled[i] -> i++
#else
    :: i <= top -> i++
#endif
    :: else -> break
    od;
    floor = i
}

/* The batch is rolled back: holds have failed, settlements wait in it for the next try. */
inline undo()
{
    for (i : 1 .. REQUESTS) {
        if
        :: batch[i] == HELD ->
#ifndef UNDO_GONE
            held = held - HOLD;
#endif
            unsettled[i] = false;
            batch[i] = NONE;
            answer[i] = FAILED
#ifdef SETTLEMENT_DROPPED
        :: batch[i] == SETTLED -> batch[i] = NONE; answer[i] = DONE
#endif
        :: else
        fi
    }
}

#define kept (batch[1] == SETTLED || batch[2] == SETTLED)

proctype Ledger()
{
    mtype kind;
    byte r;
    {
        do
        :: !lost && (nempty(queue) || kept) ->
            do
            :: atomic { nempty(queue) -> queue ? kind, r; apply(kind, r) }
            :: (batch[1] != NONE || batch[2] != NONE || empty(queue)) -> break
            od;
            if
            :: d_step { write_rows(); answer_batch(DONE); skip } /* committed */
            :: d_step { fulls < 1 -> fulls++; undo(); skip }     /* the disk is full, this time */
            :: d_step { write_rows(); lost = true }        /* on disk, but nobody can know */
            :: lost = true                                 /* not on disk, and nobody can know */
            fi;
            if
            :: lost ->
#ifdef LOSS_RETRIED
                d_step { answer_batch(DONE); lost = false }
#else
                d_step { answer_batch(FAILED); skip }
#endif
            :: else
            fi
        :: atomic { lost && nempty(queue) -> queue ? kind, r; answer[r] = FAILED }
        :: stop && empty(queue) && !kept -> break
        od
    } unless { dead };
    running--
}

/* ---- lives ---- */

inline settle_orphans(from)
{
    for (i : from .. REQUESTS) {
        if
#ifdef RECOVER_ALL
        :: open[i] -> insert_bill(i, ORPHAN)
#else
        :: open[i] && bills[i] == 0 -> insert_bill(i, ORPHAN)
#endif
        :: else
        fi
    }
}

inline read_floor()
{
    last = 0;
    for (i : 1 .. REQUESTS) {
        last = (open[i] -> i : last)
    }
}

/* One transaction; a crash before its commit leaves everything as it was. */
inline recover()
{
    do
    :: crashes < CRASHES -> crashes++
#ifdef RECOVERY_TORN
    :: crashes < CRASHES -> crashes++; d_step { read_floor(); floor = last + 1 }
#endif
    :: d_step { read_floor(); settle_orphans(floor); floor = last + 1; skip } -> break
    od
}

inline start()
{
    d_step {
        held = 0; spent = 0; top = floor - 1; lost = false; dead = false; stop = false;
        for (i : 1 .. REQUESTS) {
            batch[i] = NONE; unsettled[i] = false; answer[i] = NONE;
#ifndef BUDGET_FORGOTTEN
            spent = (bill[i] == PAID -> spent + cost[i] : spent)
#endif
        }
        do
        :: nempty(queue) -> queue ? _, _
        :: empty(queue) -> break
        od;
        skip
    }
}

inline check_money()
{
    d_step {
        last = 0;
        for (i : 1 .. REQUESTS) {
            last = (bill[i] == PAID -> last + cost[i] : last);
            assert(!delivered[i] || bill[i] == PAID)
        }
        assert(last <= BUDGET)
    }
}

init
{
    byte last, r;
    do
    :: recover();
        start();
        running = 1;
        run Ledger();
        for (r : 1 .. REQUESTS) {
            if
            :: !begun[r] -> begun[r] = true; running++; run Request(r)
            :: skip /* in another life, or never */
            fi
        }
        if
        :: running == 1 -> /* all have been answered */
            assert(lost || held == 0);
            stop = true;
            running == 0;
            break
        :: crashes < CRASHES -> crashes++; dead = true; running == 0
        fi;
        check_money()
    od;
    check_money();
    recover();
    for (r : 1 .. REQUESTS) {
        assert(!open[r] || bills[r] == 1)
    }
}

/* At any time: what is promised is never more than there is. */
active proctype Always()
{
end:
    assert(spent + held <= BUDGET)
}
