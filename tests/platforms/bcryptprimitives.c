/* Random bytes, where Rust's standard library looks for them: in a library of Windows that Wine 8 does not have. */
#include <windows.h>

/* What the header calls RtlGenRandom. */
BOOLEAN NTAPI SystemFunction036(PVOID bytes, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length)
{
    while (length > 0) {
        ULONG some = length < 65536 ? (ULONG)length : 65536;
        if (!SystemFunction036(bytes, some)) {
            return FALSE;
        }
        bytes += some;
        length -= some;
    }
    return TRUE;
}
