#!/bin/sh
# What 'make lint' checks: the style of the source, the patches' headers and order, that they apply and are fresh.
. "${0%/*}/lib/tap.sh"
[ -x "$nfacctd" ] || skip_all "not built: run make build"
need clang clang-format shellcheck codespell patch

make_tmp
ok "make lint" quietly "$root/scripts/ci/lint" --built "$tree" "$pristine"
done_testing
