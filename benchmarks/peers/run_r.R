# Worker: R's mixsqp, with its defaults.
#
#   Rscript run_r.R MATRIX RECORD N M REPEATS BUDGET [full]
#
# MATRIX: the log-likelihoods as raw float64, column by column. RECORD: the JSON file to write; the solution
# goes to RECORD with the extension .bin, as raw float64. `full`: no low-rank approximation of the matrix.

suppressPackageStartupMessages(library(mixsqp))

memory_mb <- function(field) {
  status <- tryCatch(suppressWarnings(readLines("/proc/self/status")), error = function(e) character(0))
  line <- grep(paste0("^", field, ":"), status, value = TRUE)
  if (length(line) == 0) return(NA_real_)
  as.numeric(gsub("[^0-9]", "", line)) / 1024
}

write_proc <- function(name, value) {
  path <- file.path("/proc/self", name)
  tryCatch(suppressWarnings(cat(value, file = path)), error = function(e) NULL)
}

announce <- function(event) {
  cat("#", event, "\n", sep = "")
  flush(stdout())
}

json_number <- function(x) {
  if (length(x) != 1 || is.na(x)) "null" else format(x, digits = 15)
}

args <- commandArgs(trailingOnly = TRUE)
record_path <- args[2]
n <- as.integer(args[3])
m <- as.integer(args[4])
repeats <- as.integer(args[5])
budget <- as.numeric(args[6])
control <- list(verbose = FALSE)
if (length(args) >= 7 && args[7] == "full") control$tol.svd <- 0

set.seed(1) # the singular value decomposition starts at random
write_proc("oom_score_adj", "1000")
connection <- file(args[1], "rb")
log_lik <- readBin(connection, "double", n * m)
close(connection)
dim(log_lik) <- c(n, m)
invisible(gc())
write_proc("clear_refs", "5") # the peak starts again from here
baseline <- memory_mb("VmRSS")

blas <- sessionInfo()$BLAS
version <- sprintf("mixsqp %s, R %s.%s, BLAS %s", packageVersion("mixsqp"), R.version$major,
                   R.version$minor, if (grepl("openblas", blas)) "openblas" else basename(blas))
first <- NA_real_
warm <- numeric(0)
solutions <- numeric(0)
last <- 0
# As in _worker.py: one warm solve at least, then what the budget allows, and more of short ones.
goes_on <- function() {
  if (is.na(first) || length(warm) == 0) return(TRUE)
  if (sum(warm) + last > budget) return(FALSE)
  length(warm) < repeats || (sum(warm) < 0.5 && length(warm) < 50)
}

while (goes_on()) {
  announce("solve")
  clock <- Sys.time()
  fit <- tryCatch(suppressWarnings(mixsqp(log_lik, log = TRUE, control = control)), error = function(e) e)
  last <- as.numeric(difftime(Sys.time(), clock, units = "secs"))
  announce("done")
  if (inherits(fit, "error")) {
    probs <- rep(NaN, m)
    status <- "error"
    iterations <- NA
  } else {
    probs <- fit$x
    status <- if (grepl("^converged", fit$status)) "converged" else fit$status
    iterations <- NROW(fit$progress)
  }
  if (is.na(first)) first <- last else warm <- c(warm, last)
  solutions <- c(solutions, as.numeric(probs))
  connection <- file(sub("\\.json$", ".bin", record_path), "wb")
  writeBin(solutions, connection)
  close(connection)
  part <- paste0(record_path, ".part")
  cat(sprintf('{"solver": "r", "version": "%s", "times_first": %s, "times_warm": [%s], ', version,
              json_number(first), paste(vapply(warm, json_number, ""), collapse = ", ")),
      sprintf('"iterations": %s, "status": "%s", ', json_number(iterations), gsub('["\\\\]', "'", status)),
      sprintf('"peak_rss_mb": %s, "baseline_rss_mb": %s}\n', json_number(memory_mb("VmHWM")),
              json_number(baseline)),
      file = part, sep = "")
  invisible(file.rename(part, record_path))
}
