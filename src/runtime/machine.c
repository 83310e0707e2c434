/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a box are read and written by its own machine, so that has to run. */
#include "runtime/machine.h"

#include "runtime/life.h"

#include <errno.h>

int machine_begin(struct boxlet_box *box, struct machine *ret_machine, struct error *err)
{
        cleanup_fd int box_fd = -1;
        int r = box_open_folder(box->boxlet, box->id, &box_fd, err);
        if (r < 0)
                return r;
        if (!life_is_held(box_fd))
                return error_set(err, -ESRCH, "it is not running: start it first");
        ret_machine->box_fd = take_fd(&box_fd);
        return 0;
}

void machine_end(struct machine *machine)
{
        close_fd(&machine->box_fd);
}
