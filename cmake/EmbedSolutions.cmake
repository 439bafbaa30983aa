# cmake -D FILES=a.yaml;b.yaml -D OUTPUT=builtin_solutions.cc -P EmbedSolutions.cmake
# Writes solution::builtin_solutions() with the text of each file.
set(entries "")
foreach(path IN LISTS FILES)
  get_filename_component(name ${path} NAME_WE)
  file(READ ${path} text)
  string(APPEND entries "    {\"${name}\", R\"solution(${text})solution\"},\n")
endforeach()
file(WRITE ${OUTPUT} "// Made from solutions/*.yaml by cmake/EmbedSolutions.cmake.
#include \"solution/catalogue.h\"

namespace tidemill::solution {
namespace {
constexpr BuiltinSolution kBuiltin[] = {
${entries}};
}  // namespace

std::span<const BuiltinSolution> builtin_solutions() { return kBuiltin; }

}  // namespace tidemill::solution
")
