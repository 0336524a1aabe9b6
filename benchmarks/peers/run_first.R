# Worker: first answers of R's mixsqp, the loading of the package included.
#
#   Rscript run_first.R DIR
#
# DIR/sizes.csv: a line "n,m" for each problem; DIR/1.bin, 2.bin, …: log-likelihoods as raw float64, column by
# column. Prints one line of JSON with the seconds of all; the solutions go to DIR/probs.bin, one after the other.

args <- commandArgs(trailingOnly = TRUE)
sizes <- read.csv(file.path(args[1], "sizes.csv"), header = FALSE)
problems <- lapply(seq_len(nrow(sizes)), function(i) {
  connection <- file(file.path(args[1], paste0(i, ".bin")), "rb")
  on.exit(close(connection))
  matrix(readBin(connection, "double", sizes[i, 1] * sizes[i, 2]), sizes[i, 1], sizes[i, 2])
})
set.seed(1)
clock <- Sys.time()
suppressPackageStartupMessages(library(mixsqp))
found <- lapply(problems, function(log_lik) {
  suppressWarnings(mixsqp(log_lik, log = TRUE, control = list(verbose = FALSE)))$x
})
seconds <- as.numeric(difftime(Sys.time(), clock, units = "secs"))
connection <- file(file.path(args[1], "probs.bin"), "wb")
writeBin(as.numeric(unlist(found)), connection)
close(connection)
cat(sprintf('{"first": %.6f}\n', seconds))
