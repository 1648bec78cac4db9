/* calotype make-random: a layout's random weights as a diffusers folder, for peers to run. */
#include "commands.h"

int command_make_random(options *o)
{
    session s = { 0 };
    calo_open_options none = CALO_OPEN_OPTIONS_INIT;
    if (!o->words[0] || !o->words[1])
        return complain(2, "make-random needs a layout and a folder: calotype make-random sd15 DIR");
    none.device = "none";
    calo_status status = calo_open(&s.context, &none);
    if (!status)
        status = calo_make_random(s.context, o->words[0], o->words[1], (calo_type)o->dtype);
    int exit_status = status ? session_fail(&s, status) : 0;
    session_close(&s);
    return exit_status;
}
