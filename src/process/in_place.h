// The base of operators that change a batch where it is and hand it on: one batch in, one batch out.
#pragma once

#include "pipeline/operator.h"

namespace tidemill::process {

class InPlaceInstance : public pipeline::OperatorInstance {
 public:
  // A batch is transformed once, however often the outbox refuses it.
  Result<pipeline::Progress> process(BatchPtr& batch, pipeline::OperatorContext& context,
                                     pipeline::Outbox& out) final {
    if (!transformed_) {
      TM_TRY(transform(*batch, context));
      transformed_ = true;
    }
    if (!out.push(batch)) return pipeline::Progress::kAgain;
    transformed_ = false;
    return pipeline::Progress::kDone;
  }

 private:
  virtual Status transform(Batch& batch, pipeline::OperatorContext& context) = 0;

  bool transformed_ = false;  // the batch that is offered has been through transform()
};

}  // namespace tidemill::process
