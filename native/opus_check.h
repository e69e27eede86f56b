/* Is this libopus one that the tick thread may call? What mm_opus_bind asks before it says yes. */
#ifndef MM_OPUS_CHECK_H
#define MM_OPUS_CHECK_H

#include <stddef.h>

/* mm_opus_bind_result, and one line in *error*. Through the functions of opus.h. */
int mm_opus_check(char *error, size_t error_room);

#endif
