// From a solution's settings to the sinks of its pipelines.
#pragma once

#include <memory>
#include <string>

#include "pg/connection.h"
#include "pipeline/sink.h"
#include "solution/between.h"
#include "solution/config.h"
#include "solution/wire.h"

namespace tidemill::solution {

// The sink of the last stage; `into`: a replay's copy of it under that name. `rebuild`: events are written
// anew from their fields. Errors: the store cannot be opened.
Result<std::unique_ptr<pipeline::Sink>> make_sink(const Solution& solution, const Ground& ground,
                                                  const Stage& stage, bool rebuild, const std::string& into);
// The sink of a stage that writes the topic before the next one.
std::unique_ptr<pipeline::Sink> make_between_sink(const Solution& solution, const Ground& ground,
                                                  const Stage& stage, const BetweenTopic& topic,
                                                  bool rebuild);

// Of what the stage reads, also where nobody could be asked.
int32_t source_partitions(const Solution& solution, const Stage& stage);

// As DuckDB calls it.
const char* parquet_codec(ParquetCodec codec);

pg::Options postgres_connection(const PostgresSink& sink);

}  // namespace tidemill::solution
