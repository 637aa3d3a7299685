# Macros of this project's configure.ac.

# GRACEFUL_PKG(VARIABLE, PKG-CONFIG MODULES, DEBIAN PACKAGE)
# Finds a library with pkg-config, or ends with the one line that says how to get it.
AC_DEFUN([GRACEFUL_PKG], [
  PKG_CHECK_MODULES([$1], [$2], [], [GRACEFUL_MISSING([$2], [$3])])
])

# GRACEFUL_MISSING(WHAT, DEBIAN PACKAGE)
AC_DEFUN([GRACEFUL_MISSING], [
  AC_MSG_ERROR([$1 not found. On Debian: apt-get install $2])
])

# GRACEFUL_CFLAGS(VARIABLE, FLAGS)
# Adds to VARIABLE those FLAGS that the compiler knows. Two notes on how:
# clang only warns about a -W that it does not know, so the trial runs with -Werror;
# both accept any -Wno-..., so none of these should be in the list.
AC_DEFUN([GRACEFUL_CFLAGS], [
  graceful_saved_CFLAGS=$CFLAGS
  for graceful_flag in $2; do
    AC_MSG_CHECKING([whether $CC accepts $graceful_flag])
    CFLAGS="-Werror $graceful_flag"
    AC_COMPILE_IFELSE([AC_LANG_SOURCE([int graceful_dummy;])],
      [AC_MSG_RESULT([yes])
       AS_VAR_APPEND([$1], [" $graceful_flag"])],
      [AC_MSG_RESULT([no])])
  done
  CFLAGS=$graceful_saved_CFLAGS
])

# GRACEFUL_LDFLAG(VARIABLE, FLAG, [IF NOT])
AC_DEFUN([GRACEFUL_LDFLAG], [
  graceful_saved_LDFLAGS=$LDFLAGS
  LDFLAGS="$LDFLAGS -Werror $2"
  AC_MSG_CHECKING([whether $CC links with $2])
  AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
    [AC_MSG_RESULT([yes])
     AS_VAR_APPEND([$1], [" $2"])],
    [AC_MSG_RESULT([no])
     $3])
  LDFLAGS=$graceful_saved_LDFLAGS
])

# GRACEFUL_WITH_DIR(NAME, HELP, DEFAULT)
# The directory NAME of --with-NAME. Empty if it is "no": then make installs nothing there.
AC_DEFUN([GRACEFUL_WITH_DIR], [
  AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=DIR], [$2])], [], [with_$1=yes])
  AS_CASE([$with_$1],
    [yes], [$1=$3],
    [no], [$1=],
    [/* | '$'*], [$1=$with_$1],
    [AC_MSG_ERROR([--with-$1: "$with_$1" is no absolute path, nor "yes" or "no"])])
  AC_SUBST([$1])
])
