// project: changes what an event consists of: keeps or drops fields, adds computed ones.
//
// It changes the schema; bytes and decoded columns of a batch stay. A columnar sink writes the
// columns of the schema that it is given; a JSON sink behind a project writes events anew from the
// columns of its schema (serve::JsonForm::kRebuild) instead of splicing into their bytes: members
// that the schema has not are gone then.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pipeline/operator.h"

namespace tidemill::process {

struct ComputedField {
  std::string name;  // a dot puts it into an object: "complexData.sum". A field of that name is replaced
  std::string expression;
};

struct ProjectOptions {
  // Fields, or objects with all their members: "complexData" is complexData.moreData0 and so on.
  std::vector<std::string> keep;   // empty: all
  std::vector<std::string> drop;   // of those that are kept
  std::vector<ComputedField> add;  // each is computed from the event as it came in
};

// Errors: kUser, nothing to do or a name twice. Unknown fields and wrong expressions come from bind().
Result<std::unique_ptr<pipeline::Operator>> make_project(ProjectOptions options);

}  // namespace tidemill::process
